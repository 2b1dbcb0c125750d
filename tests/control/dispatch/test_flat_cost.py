"""What a tick does in a large fleet: only what changed is decided anew, in slices, beside the loop. C9."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from csms.control.dispatch import deciding
from csms.control.dispatch.parts import JOINT, Parts
from csms.control.dispatch.snapshots import Snapshots
from csms.control.state import pace
from csms.domain.commands import ApplySetpoint
from csms.domain.decision import Decision
from csms.domain.ids import EvseRef, StationId
from csms.domain.permission import Permission, PermissionState
from csms.domain.snapshot import Snapshot
from csms.domain.station import ProbeState
from csms.store import writes
from policies import decide
from policies.plugs import Policies
from tests.control.dispatch.dispatching import event, tick
from tests.control.kit import E1, World, station, world
from tests.policies.fleets import snapshots

HOUSES = [{"id": name, "import_limit_w": 50_000, "export_limit_w": 50_000} for name in ("a", "b", "c")]


async def charging(w: World, *refs: EvseRef) -> None:
    """Card holders' vehicles that charge plainly."""
    for ref in refs:
        await w.take(w.event(0, f"tx-{ref.station}", ref, charging_state="Charging"))
        w.at(ref).run.authorized = True
        await w.take(w.metered(ref=ref, power_import_w=0.0))


def refs_of(*names: str) -> list[EvseRef]:
    return [EvseRef(StationId(name), 1) for name in names]


def watched(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[EvseRef]]:
    """The EVSEs of each decision that is made from now on."""
    seen: list[frozenset[EvseRef]] = []

    def noted(snapshot: Snapshot, policies: Policies) -> Decision:
        seen.append(frozenset(state.ref for state in snapshot.evses))
        return decide(snapshot, policies)

    monkeypatch.setattr(deciding, "decide", noted)
    return seen


async def test_only_the_fuses_behind_which_something_changed_are_decided_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C9: the tick decided for all."""
    a, b, c = refs_of("CS-a", "CS-b", "CS-c")
    places = [station(ref.station, site=name) for ref, name in zip((a, b, c), "abc", strict=True)]
    async with world(tmp_path, *places, site=HOUSES) as w:
        await charging(w, a, b, c)
        await tick(w)
        seen = watched(monkeypatch)
        await tick(w, 1)
        assert seen == [], "nothing has changed"
        await w.take(w.metered(ref=b, power_import_w=3000.0))
        await tick(w, 1)
        assert seen == [{b}]


async def test_everything_is_decided_anew_after_a_tick_and_when_prices_or_events_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C9: what follows from time alone is found no later than before."""
    a, b = refs_of("CS-a", "CS-b")
    places = [station(ref.station, site=name) for ref, name in zip((a, b), "ab", strict=True)]
    async with world(tmp_path, *places, site=HOUSES) as w:
        await charging(w, a, b)
        await tick(w)
        seen = watched(monkeypatch)
        await tick(w, 10)
        assert seen == [{a, b}]
        w.system.rooms.dispatch.reconsider(None)
        await tick(w)
        assert seen == [{a, b}] * 2
        await event(w)
        await tick(w)
        assert seen[2:] == [{a, b}], "an event is shared by all roots of its area"
        await w.take(w.metered(ref=b, power_import_w=3000.0))
        await tick(w)
        assert seen[3:] == [{a, b}]


@pytest.mark.parametrize(
    "said",
    [
        lambda old: replace(old, state=PermissionState.REFUSED),
        lambda old: replace(old, conditions=replace(old.conditions, min_sell_per_kwh=Decimal(999))),
    ],
)
async def test_an_answer_that_changes_while_it_is_decided_on_is_not_overtaken_by_the_old_decision(
    w: World, monkeypatch: pytest.MonkeyPatch, said: Callable[[Permission], Permission]
) -> None:
    """P4, C9: a decision made beside the loop on what was true then is held against what is true now."""
    await w.resource()
    monkeypatch.setattr(deciding, "INLINE_EVSES", -1)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def beside(find: Any) -> Any:
        begun.set()
        await go_on.wait()
        return find()

    monkeypatch.setattr(asyncio, "to_thread", beside)
    await event(w)
    ticking = asyncio.create_task(w.system.rooms.dispatch.tick())
    await begun.wait()
    answer = w.evse.answered
    assert answer is not None
    answer.permission = said(answer.permission)
    go_on.set()
    decision = await ticking
    await w.quiet()
    assert [one.setpoint_w < 0 for one in decision.setpoints] == [True]
    assert w.stations.of(ApplySetpoint) == []
    assert w.system.rooms.dispatch._due.is_set(), "it is decided on again at once"


async def test_setpoints_of_one_tick_are_stored_in_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C9, must hold 4: each is stored before it is sent, and a fleet's together."""
    refs = refs_of(*(f"CS-{n}" for n in range(12)))
    sizes: list[int] = []
    save = writes.save_setpoints

    def counted(conn: Any, records: Sequence[Any]) -> None:
        sizes.append(len(records))
        save(conn, records)

    monkeypatch.setattr(writes, "save_setpoints", counted)
    async with world(tmp_path, *(station(ref.station) for ref in refs)) as w:
        await charging(w, *refs)
        await tick(w)
        assert sizes[0] == 12
        assert len(w.stations.of(ApplySetpoint)) == 12


async def test_a_tick_lets_the_loop_go_on_after_each_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C9: ten thousand vehicles held the loop for two seconds."""
    refs = refs_of(*(f"CS-{n}" for n in range(30)))
    async with world(tmp_path, *(station(ref.station) for ref in refs)) as w:
        await charging(w, *refs)
        monkeypatch.setattr(pace, "SLICE_S", 0.0)
        turns = 0
        ticking = asyncio.create_task(w.system.rooms.dispatch.tick())
        while not ticking.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 3 * len(refs), "once for each as it is looked at, weighed and told"
        await w.quiet()


async def test_a_state_that_is_kept_is_the_one_that_would_be_made_anew(w: World) -> None:
    """C9, must hold 1: whatever a state is made from makes it anew when it changes."""
    await w.resource()
    dispatch = w.system.rooms.dispatch
    changes: list[Any] = [
        lambda: setattr(w.evse.told, "probe_state", ProbeState.FAILED),
        lambda: setattr(w.evse.told, "drawn_w", 1500),
        lambda: setattr(w.evse.told, "last_used_at", w.clock.now()),
        lambda: setattr(w.evse, "evse", replace(w.evse.evse, ratings=replace(w.evse.evse.ratings, max_charge_w=3000))),
        lambda: setattr(w.station, "quirks", replace(w.station.quirks, zero_ends_transaction=True)),
        lambda: setattr(w.evse.answer, "stated_soc_percent", 12.0),
        lambda: setattr(w.evse.answer, "vehicle", replace(w.evse.vehicle, capacity_wh=70_000)),
        lambda: setattr(w.evse.meter, "needs", None),
        lambda: setattr(w.station, "is_settled", False),
        lambda: setattr(w.station, "failsafe_limit_w", 123),
        lambda: setattr(w.evse.told, "in_force", (0, 7000)),
        lambda: setattr(w.evse.run, "authorized", False),
        lambda: setattr(w.evse.answer, "permission", replace(w.evse.answer.permission, state=PermissionState.REFUSED)),
        lambda: setattr(w.evse.run, "transaction", None),
        lambda: setattr(w.evse.cable, "plugged", None),
    ]
    for change in changes:
        change()
        seen = await dispatch._standing.look(w.clock.now(), Parts(dispatch.snapshots.sites).by_site(()))
        kept = [state for states in seen.states.values() for state in states]
        fresh = Snapshots(w.system.ground, w.system.prices, w.system.events, w.settings).snapshot()
        assert kept == list(fresh.evses)


@given(snapshots())
def test_roots_decided_apart_are_decided_as_together(snapshot: Snapshot) -> None:
    """C9: nothing but a DR event reaches over the roots of the site tree."""
    parts = Parts(snapshot.sites)
    events = tuple(one for one in snapshot.events if one.is_active(snapshot.now))
    by_site = parts.by_site(events)
    together = {one.evse: one for one in decide(snapshot).setpoints}
    for part in set(by_site.values()):
        evses = tuple(state for state in snapshot.evses if by_site[state.site] == part)
        if part == JOINT:
            given_ = replace(snapshot, evses=evses)
        else:
            sites = parts.sites_of(state.site for state in evses)
            given_ = replace(snapshot, evses=evses, sites=sites, events=(), virtual={})
        for one in decide(given_).setpoints:
            assert one == together[one.evse]


async def test_a_rejected_setpoint_is_tried_again_although_nothing_has_changed(w: World) -> None:
    """C9, V2G-12: a part that waits for an answer is looked at in every tick."""
    await w.resource()
    w.clock.pass_(1)
    await tick(w)
    part = next(iter(w.system.rooms.dispatch._deciding.kept.values()))
    assert part.waits
    await tick(w, 1)
    assert not part.waits
    assert E1 in {state.ref for state in part.states}
    assert timedelta(0) < w.clock.now() - part.at
