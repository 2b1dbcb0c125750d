"""Looking up where a plug-in or a user is gives what a look at every EVSE gives. A14."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from csms.control.state.live import Answer, EvseLive, Live
from csms.domain.ids import EvseRef, PlugInId, SiteId, StationId, UserId
from csms.domain.permission import PlugIn
from csms.domain.station import Evse, Quirks, Ratings, Station

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
    elif act == "unplug":
        evse.cable.plugged = None
    elif act == "answer" and plugged is not None:
        evse.answer = Answer(plug_in=plugged.id, user=user)
    elif act == "of another plug-in":
        evse.answer = Answer(plug_in=id_, user=user)
    elif act == "user" and evse.answer is not None:
        evse.answer.user = user
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
