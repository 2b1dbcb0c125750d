"""What must never happen, counted from the store: a check of the whole from the outside of every decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from csms.control.settlement.known import Places
from csms.domain.ids import EvseRef
from csms.domain.permission import Permission, PermissionState, PlugIn
from csms.domain.ports import Clock
from csms.store import Store, reads
from policies.metering import energy_in_window
from policies.permission import Stretch, stretches
from policies.unconfirmed import STOPS_WITHIN

SOC_ROUNDING_PERCENT = 1.0
"""Stations round the state of charge to whole percents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """``discharged_without_permission_wh``: export by the registers while the user's yes did not hold, between readings
    that both lie in such a time: what flowed around an answer, between two readings, cannot be told apart.

    ``below_required_charge``: permitted vehicles that left with less than required although their departure had come,
    or with less than required and less than they came with.
    """

    discharged_without_permission_wh: int
    below_required_charge: int


async def audit(store: Store, clock: Clock) -> Audit:
    """Over every plug-in that is stored."""
    plug_ins = await store.read(partial(reads.plug_ins, limit=100_000))
    histories = await store.read(partial(reads.permission_histories, plug_ins=[plug_in.id for plug_in in plug_ins]))
    places = Places.of(await store.read(reads.stations), {})
    exported = 0.0
    for plug_in in plug_ins:
        max_w = places.max_w(plug_in.evse)
        end = plug_in.unplugged_at or clock.now()
        for stretch in unpermitted(stretches(histories[plug_in.id], plug_in.plugged_at, end)):
            exported += await _exported_wh(store, plug_in.evse, stretch, max_w)
    return Audit(
        discharged_without_permission_wh=round(exported),
        below_required_charge=sum(is_below_required(plug_in, histories[plug_in.id]) for plug_in in plug_ins),
    )


@dataclass(frozen=True, slots=True)
class Unpermitted:
    """A time without a yes. ``after`` and ``before``: whether a yes held just before and just after it."""

    start: datetime
    end: datetime
    after: bool
    before: bool


def unpermitted(all_of_it: Sequence[Stretch]) -> list[Unpermitted]:
    """The times without a yes of a plug-in."""
    last = len(all_of_it) - 1
    return [
        Unpermitted(stretch.start, stretch.end, after=n > 0, before=n < last)
        for n, stretch in enumerate(all_of_it)
        if not stretch.permitted
    ]


async def _exported_wh(store: Store, evse: EvseRef, time: Unpermitted, max_w: int) -> float:
    stored = await store.read(partial(reads.metered, evse=evse, start=time.start, end=time.end))
    stopped_at = time.start + STOPS_WITHIN if time.after else time.start
    inside = [reading.reading.at for reading in stored if stopped_at <= reading.reading.at <= time.end]
    if not inside:
        return 0.0
    start = inside[0] if time.after else time.start
    end = inside[-1] if time.before else time.end
    return float(energy_in_window(evse, stored, start, end, max_w).export_wh) if start < end else 0.0


def is_below_required(plug_in: PlugIn, history: Sequence[Permission]) -> bool:
    """Whether a vehicle left with too little, by our doing. ``history``: of its permission; a no after the yes ends
    what it is charged for, not what was taken from it."""
    yes = next((each for each in reversed(history) if each.state is PermissionState.GRANTED), None)
    soc = plug_in.soc_percent
    if yes is None or yes.conditions is None or soc is None or plug_in.unplugged_at is None:
        return False
    if soc >= yes.conditions.required_soc_percent - SOC_ROUNDING_PERCENT:
        return False
    was_time = yes.departure_at is not None and plug_in.unplugged_at >= yes.departure_at
    still_held = plug_in.permission.state is PermissionState.GRANTED
    return (still_held and was_time) or soc < (plug_in.soc_at_start_percent or 0.0) - SOC_ROUNDING_PERCENT
