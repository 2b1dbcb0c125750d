"""What must never happen, counted from the store: a check of the whole from the outside of every decision."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from csms.control.settling import UNRATED_W, ratings
from csms.domain.permission import PermissionState, PlugIn
from csms.domain.ports import Clock
from csms.store import Store, reads
from policies.metering import energy_in_window

SOC_ROUNDING_PERCENT = 1.0
"""Stations round the state of charge to whole percents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """``discharged_without_permission_wh``: export by the registers while the user had not said yes.

    ``below_required_charge``: permitted vehicles that left with less than required although their departure had come,
    or with less than required and less than they came with.
    """

    discharged_without_permission_wh: int
    below_required_charge: int


async def audit(store: Store, clock: Clock) -> Audit:
    """Over every plug-in that is stored."""
    plug_ins = await store.read(partial(reads.plug_ins, limit=100_000))
    rated = await ratings(store)
    exported = [
        await _exported_wh(store, plug_in, rated.get(plug_in.evse, UNRATED_W), clock.now()) for plug_in in plug_ins
    ]
    return Audit(
        discharged_without_permission_wh=round(sum(exported)),
        below_required_charge=sum(is_below_required(plug_in) for plug_in in plug_ins),
    )


async def _exported_wh(store: Store, plug_in: PlugIn, max_w: int, now: datetime) -> float:
    start, end = plug_in.plugged_at, unpermitted_until(plug_in) or plug_in.unplugged_at or now
    if end <= start:
        return 0.0
    stored = await store.read(partial(reads.readings, evse=plug_in.evse, start=start, end=end))
    return float(energy_in_window(plug_in.evse, stored, start, end, max_w).export_wh) if stored else 0.0


def unpermitted_until(plug_in: PlugIn) -> datetime | None:
    """Until when the vehicle must not be used; None = to the end of the plug-in."""
    permission = plug_in.permission
    return permission.answered_at if permission.state is PermissionState.GRANTED else None


def is_below_required(plug_in: PlugIn) -> bool:
    """Whether a permitted vehicle left with too little, by our doing."""
    permission, soc = plug_in.permission, plug_in.soc_percent
    if permission.state is not PermissionState.GRANTED or permission.conditions is None or soc is None:
        return False
    if plug_in.unplugged_at is None or soc >= permission.conditions.required_soc_percent - SOC_ROUNDING_PERCENT:
        return False
    departure = permission.departure_at
    was_time = departure is not None and plug_in.unplugged_at >= departure
    return was_time or soc < (plug_in.soc_at_start_percent or 0.0) - SOC_ROUNDING_PERCENT
