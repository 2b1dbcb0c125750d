"""Looking up where a plug-in or a user is gives what a look at every EVSE gives. A14."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.control.state.live import EvseLive, Live
from csms.control.state.records import Answer
from csms.domain.ids import EvseRef, PlugInId, SiteId, StationId, UserId
from csms.domain.permission import PlugIn
from csms.domain.station import Evse, Quirks, Ratings, Station
from tests.control.kit import E1, E2, S, station, world

NOW = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
PLACES = [EvseRef(StationId(f"s{station}"), evse) for station in range(3) for evse in (1, 2)]
PLUG_INS = [PlugInId(f"p{number}") for number in range(6)]
USERS = [UserId(f"u{number}") for number in range(3)]

steps = st.lists(
    st.tuples(
        st.sampled_from(["plug", "unplug", "answer", "of another plug-in", "user", "forget", "look"]),
        st.sampled_from(PLACES),
        st.sampled_from(PLUG_INS),
        st.sampled_from([None, *USERS]),
    ),
    max_size=40,
)


def fleet() -> Live:
    live = Live(lambda _station: None)
    for id_ in dict.fromkeys(ref.station for ref in PLACES):
        evses = tuple(Evse(ref=ref, site=SiteId("site"), ratings=Ratings()) for ref in PLACES if ref.station == id_)
        live.add(Station(id=id_, site=SiteId("site"), evses=evses), Quirks())
    return live


def done(live: Live, step: tuple[str, EvseRef, PlugInId, UserId | None], number: int) -> None:
    """One thing that a room may write; a plug-in is at one EVSE only."""
    act, ref, id_, user = step
    evse = live.find(ref)
    assert evse is not None
    plugged = evse.cable.plugged
    if act == "plug" and all(other is not None and id_ != other.id for other in _plugged(live)):
        evse.cable.plugged = PlugIn(id=id_, evse=ref, connector=1, plugged_at=NOW + timedelta(minutes=number))
        live.seat(evse)
    elif act == "unplug":
        evse.cable.plugged = None
    elif act == "answer" and plugged is not None:
        evse.answer = Answer(plug_in=plugged.id)
        live.give(evse, user)
    elif act == "of another plug-in":
        evse.answer = Answer(plug_in=id_)
        live.give(evse, user)
    elif act == "user":
        live.give(evse, user)
    elif act == "forget":
        evse.answer = None


def _plugged(live: Live) -> list[PlugIn]:
    return [evse.cable.plugged for _, evse in live.evses() if evse.cable.plugged is not None]


def by_scan(live: Live, user: UserId) -> EvseLive | None:
    here = [evse for _, evse in live.evses() if evse.plug_in is not None and evse.plug_in.user == user]
    return max(here, key=lambda evse: evse.cable.plugged.plugged_at, default=None)  # type: ignore[union-attr]


@given(steps)
def test_a_lookup_finds_what_a_look_at_every_evse_finds_whatever_was_written_before(
    written: list[tuple[str, EvseRef, PlugInId, UserId | None]],
) -> None:
    live = fleet()
    for number, step in enumerate(written):
        done(live, step, number)
        for id_ in PLUG_INS:
            there = [evse for _, evse in live.evses() if evse.plug_in is not None and evse.plug_in.id == id_]
            assert live.of_plug_in(id_) is (there[0] if there else None)
        for user in USERS:
            assert live.of_user(user) is by_scan(live, user)
            assert live.all_of_user(user) == [evse for _, evse in live.evses() if evse.user == user]


def test_a_user_is_found_without_a_look_at_every_evse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A14: each phone's page asks for it, 7.5 ms at 10,000 EVSEs."""
    live = fleet()
    evse = live.find(PLACES[0])
    assert evse is not None
    evse.cable.plugged = PlugIn(id=PLUG_INS[0], evse=PLACES[0], connector=1, plugged_at=NOW)
    evse.answer = Answer(plug_in=PLUG_INS[0])
    live.give(evse, USERS[0])
    looked_at: list[EvseRef] = []
    real = live.find
    monkeypatch.setattr(live, "find", lambda ref: looked_at.append(ref) or real(ref))
    assert live.of_user(USERS[0]) is evse
    assert live.of_user(USERS[1]) is None
    assert looked_at == [PLACES[0]]


def test_a_plug_in_that_is_over_or_unknown_is_looked_up_without_a_look_at_every_evse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A14: a phone that repeats an old id must cost the same at ten EVSEs and at ten thousand."""
    live = fleet()
    evse = live.find(PLACES[0])
    assert evse is not None
    for id_ in PLUG_INS[:2]:
        evse.cable.plugged = PlugIn(id=id_, evse=PLACES[0], connector=1, plugged_at=NOW)
        live.seat(evse)

    def scanned() -> None:
        raise AssertionError("every EVSE is looked at")

    monkeypatch.setattr(live, "evses", scanned)
    assert live.of_plug_in(PLUG_INS[1]) is evse
    assert live.of_plug_in(PLUG_INS[0]) is None
    assert live.of_plug_in(PlugInId("never seen")) is None


async def test_a_plug_in_is_found_by_its_id_from_its_cable_in_to_its_cable_out_and_after_a_restart(
    tmp_path: Path,
) -> None:
    """A14: the index is written by whatever begins a plug-in."""
    async with world(tmp_path, station(S, 2)) as w:
        await w.plug(None)
        await w.take(w.event(0, "tx-2", E2, charging_state="EVConnected"))
        first, second = w.at(E1).plug_in, w.at(E2).plug_in
        assert first is not None
        assert second is not None
        assert [w.system.live.of_plug_in(one.id) for one in (first, second)] == [w.at(E1), w.at(E2)]
        await w.restart()
        assert [w.system.live.of_plug_in(one.id) for one in (first, second)] == [w.at(E1), w.at(E2)]
        w.leave(E2)
        assert w.system.live.of_plug_in(second.id) is None
