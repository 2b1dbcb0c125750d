"""What stands between a decision and a blown fuse: stations out of reach, and setpoints that cross on their way."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.control.dispatch.order import Place, Room, Span
from csms.domain.commands import Accepted, ApplySetpoint, Command, Outcome, TimedOut
from csms.domain.ids import EvseRef, SiteId, StationId
from csms.domain.snapshot import Site
from csms.domain.station import BootState
from tests.control.dispatch.dispatching import tick
from tests.control.kit import E1, S, World, station, world

OTHER = EvseRef(StationId("CS-2"), 1)


def fuse(import_limit_w: int) -> dict[str, object]:
    return {"site": [{"id": "default", "import_limit_w": import_limit_w, "export_limit_w": 10_000}]}


async def plain(w: World, ref: EvseRef, power_w: float | None = None) -> None:
    """A card holder's vehicle that charges plainly."""
    w.at(ref).run.authorized = True
    await w.take(w.event(0, f"tx-{ref}", ref, charging_state="Charging"))
    w.at(ref).run.authorized = True
    if power_w is not None:
        await w.take(w.metered(ref=ref, power_import_w=power_w))


def lose(w: World, ref: EvseRef) -> None:
    w.stations.versions.pop(ref.station, None)
    w.system.rooms.intake.disconnected(ref.station)


def others(w: World) -> int:
    """What the newest decision gives the EVSE that is in reach."""
    decision = w.system.rooms.dispatch.decision
    assert decision is not None
    return sum(one.setpoint_w for one in decision.setpoints if one.evse == E1)


# --- out of reach (A3) ---


@pytest.mark.parametrize(("power_w", "left_w"), [(3000.0, 5000), (6500.0, 3500), (0.0, 5000)])
async def test_a_lost_station_is_reserved_at_its_last_power_or_its_failsafe_limit_for_the_whole_outage(
    tmp_path: Path, power_w: float, left_w: int
) -> None:
    """A3: 12.36 kW flowed behind a 10 kW fuse: it falls to its failsafe limit, here 5 kW, whatever it drew before."""
    async with world(tmp_path, station(), station(OTHER.station), **fuse(10_000)) as w:
        for ref in (E1, OTHER):
            w.system.live.stations[ref.station].failsafe_limit_w = 5000
            await plain(w, ref, power_w if ref == OTHER else 0.0)
        lose(w, OTHER)
        for seconds in (1, 200, 3600):
            await tick(w, seconds)
            assert others(w) <= left_w
        assert others(w) == left_w


async def test_a_lost_station_still_has_its_setpoint_until_that_runs_out(tmp_path: Path) -> None:
    """A3: told 7 kW, it drew 1 kW as it was lost; the vehicle may take the rest at any time."""
    async with world(tmp_path, station(), station(OTHER.station), **fuse(14_000)) as w:
        for ref in (E1, OTHER):
            w.system.live.stations[ref.station].failsafe_limit_w = 5000
            await plain(w, ref, 1000.0)
        await tick(w)
        told = w.at(OTHER).told.setpoint
        assert told is not None
        lose(w, OTHER)
        await tick(w, 1)
        assert others(w) <= 14_000 - told.desired_w
        await tick(w, 200)
        assert others(w) == 7360


async def test_an_idle_station_out_of_reach_is_reserved_too(tmp_path: Path) -> None:
    """A3: a vehicle may be plugged in there, and nobody would tell us."""
    async with world(tmp_path, station(), station(OTHER.station), **fuse(10_000)) as w:
        w.system.live.stations[OTHER.station].failsafe_limit_w = 5000
        await plain(w, E1)
        await tick(w)
        assert others(w) == 7360
        lose(w, OTHER)
        await tick(w, 20)
        assert others(w) == 5000
        assert len(w.stations.of(ApplySetpoint)) == 2


async def test_a_station_that_nothing_limits_is_reserved_at_its_rating_and_one_that_never_came_not_at_all(
    tmp_path: Path,
) -> None:
    """A3: no failsafe limit was ever installed there."""
    never = station(StationId("CS-3"), boot_state=BootState.NEVER)
    async with world(tmp_path, station(), **fuse(10_000)) as w:
        await w.add(station(OTHER.station), online=False)
        await w.add(never, online=False)
        await plain(w, E1)
        await tick(w)
        assert others(w) == 10_000 - 7360


async def test_after_a_restart_everybody_out_of_reach_is_reserved(tmp_path: Path) -> None:
    """A3: the first to come back does not get all of the fuse while the others charge on."""
    async with world(tmp_path, station(), station(OTHER.station), **fuse(12_000)) as w:
        for ref in (E1, OTHER):
            await plain(w, ref, 6000.0)
        await tick(w)
        await w.restart()
        for live in w.system.live.stations.values():
            live.failsafe_limit_w = 2000
        w.clock.pass_(600)
        await w.add(station())
        w.system.live.stations[S].failsafe_limit_w = 2000
        w.evse.run.authorized = True
        await tick(w)
        assert others(w) == 12_000 - 6000


async def test_a_station_that_has_not_settled_is_told_nothing_and_reserved(w: World) -> None:
    """F8: it replays its queue; a no of it would say nothing."""
    await plain(w, E1, 3000.0)
    w.station.is_settled = False
    assert await tick(w) == []
    assert w.system.rooms.dispatch.snapshots.snapshot().evses[0].reserved_w == 7360
    w.station.is_settled = True
    assert await tick(w, 1) == [7360]


# --- setpoints that cross (A10) ---


async def two(w: World) -> None:
    """EVSE 1 charges with all of the fuse; then a vehicle comes to the other."""
    await plain(w, E1)
    await tick(w)
    await w.take(w.metered(power_import_w=7360.0))
    w.clock.pass_(5)
    await plain(w, OTHER)


async def test_an_increase_waits_until_the_decrease_that_makes_its_room_was_acknowledged(tmp_path: Path) -> None:
    """A10: 11.36 kW flowed behind 8 kW, as the increase came first."""
    async with world(tmp_path, station(), station(OTHER.station), **fuse(8000)) as w:
        for live in w.system.live.stations.values():
            live.failsafe_limit_w = 0
        await two(w)

        def silent(command: Command) -> Outcome:
            return TimedOut() if command.evse == E1 else Accepted()  # type: ignore[union-attr]

        w.stations.answer = silent
        await tick(w)
        last = {sent.evse: sent.setpoint_w for sent in w.stations.of(ApplySetpoint)}
        assert (last[E1], last[OTHER]) == (4000, 0), "the decrease has left at once"
        w.stations.answer = lambda command: Accepted()
        await tick(w, 10)
        await tick(w, 10)
        last = {sent.evse: sent.setpoint_w for sent in w.stations.of(ApplySetpoint)}
        assert last == {E1: 4000, OTHER: 4000}


async def test_no_dead_band_lets_a_sum_exceed_its_limit(tmp_path: Path) -> None:
    """A10: eight vehicles, each a little less than it was told; 302.97 kW flowed at 300 kW."""
    names = [StationId(f"CS-{n}") for n in range(1, 9)]
    async with world(tmp_path, *(station(name) for name in names), **fuse(8 * 3000 + 300)) as w:
        refs = [EvseRef(name, 1) for name in names]
        for ref in refs:
            w.system.live.stations[ref.station].failsafe_limit_w = 0
            await plain(w, ref)
        await tick(w)
        await tick(w, 20)
        before = told_w(w, refs)
        lower = replace(w.system.rooms.dispatch.snapshots.sites[0], import_limit_w=before - 8 * 30)
        w.system.rooms.dispatch.snapshots.sites = (lower,)
        await tick(w, 20)
        assert told_w(w, refs) <= before - 8 * 30


def told_w(w: World, refs: list[EvseRef]) -> int:
    return sum(one.told.setpoint.desired_w for one in map(w.at, refs) if one.told.setpoint)


SITE = Site(id=SiteId("s"), import_limit_w=20_000, export_limit_w=12_000)
powers = st.integers(-6000, 7000)


@given(st.lists(st.tuples(powers, powers, st.booleans()), min_size=1, max_size=8))
def test_whatever_is_let_through_no_mix_of_old_and_new_setpoints_exceeds_a_fuse(
    fleet: list[tuple[int, int, bool]],
) -> None:
    """A10: each station may have taken the new setpoint, or still hold the old one; ``both`` = an older one is open."""
    places = [
        Place(SITE.id, Span(min(old, 0), max(old, 0)) if both else Span(old, old), wanted)
        for old, wanted, both in fleet
    ]
    old_drawn, old_fed = (sum(place.span.drawn_w for place in places), sum(place.span.fed_w for place in places))
    room, spans = Room([SITE], places), []
    for place in places:
        told = place.wanted_w if room.take(place, place.wanted_w) else place.span.nearest(place.wanted_w)
        spans.append(place.span.with_power(told))
    assert sum(span.drawn_w for span in spans) <= max(SITE.import_limit_w, old_drawn)
    assert sum(span.fed_w for span in spans) <= max(SITE.export_limit_w, old_fed)


@given(powers, powers, powers)
def test_what_leaves_instead_takes_no_more_than_is_in_force_and_is_never_further_from_the_decision(
    first: int, second: int, wanted: int
) -> None:
    span = Span(min(first, second), max(first, second))
    told = span.nearest(wanted)
    assert not span.takes_more(told)
    assert abs(told - wanted) <= abs(wanted)
    assert span.takes_more(wanted) or told == wanted
