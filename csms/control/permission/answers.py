"""What a user says of a plug-in, and the plug-in after it. Pure. P4, P7, P10."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from csms.control.permission import patterns
from csms.domain.conditions import Conditions, Pattern
from csms.domain.errors import NotFound
from csms.domain.ids import VehicleId
from csms.domain.people import Vehicle
from csms.domain.permission import Channel, Permission, PlugIn
from policies.permission import answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A yes or a no, and what came with it; what is None stays as it is.

    ``conditions`` with a yes are kept as "mine" and used again, unless they come with a ``pattern``: then that one, own
    or prepared, holds for this plug-in only, adjusted where both are given. ``stated_soc_percent``: the state of charge
    at the plug-in, where the station tells none.
    """

    granted: bool
    conditions: Conditions | None = None
    pattern: str | None = None
    vehicle: VehicleId | None = None
    stated_soc_percent: float | None = None
    channel: Channel = Channel.PAGE


def after(
    plug_in: PlugIn, said: Said, own: Sequence[Pattern], vehicles: Sequence[Vehicle], now: datetime
) -> tuple[PlugIn, Pattern | None]:
    """The plug-in as it is then, and the pattern to be kept, if any. NotFound: no such vehicle or pattern."""
    vehicle = plug_in.vehicle if said.vehicle is None else _checked(said.vehicle, vehicles)
    conditions, name = _held(plug_in, said, own, vehicle)
    if said.granted and conditions is None:
        conditions = Conditions()  # what the question shows to who never stated any
    permission = answered(plug_in.permission, said.granted, conditions, plug_in.plugged_at, now, said.channel)
    stated = plug_in.stated_soc_percent if vehicle == plug_in.vehicle else None
    told = replace(
        plug_in,
        vehicle=vehicle,
        permission=replace(permission, pattern=name),
        stated_soc_percent=stated if said.stated_soc_percent is None else said.stated_soc_percent,
    )
    is_kept = said.granted and said.conditions is not None and said.pattern in {None, patterns.MINE}
    kept = Pattern(name=patterns.MINE, conditions=said.conditions, chosen=True) if is_kept and said.conditions else None
    return told, kept


def _checked(vehicle: VehicleId, vehicles: Sequence[Vehicle]) -> VehicleId:
    if vehicle not in {each.id for each in vehicles}:
        raise NotFound(f"there is no vehicle {vehicle} of yours", field="vehicle")
    return vehicle


def _held(
    plug_in: PlugIn, said: Said, own: Sequence[Pattern], vehicle: VehicleId | None
) -> tuple[Conditions | None, str | None]:
    """The conditions that hold from now on, and the name they are known by."""
    if said.conditions is not None:
        return said.conditions, said.pattern or patterns.MINE
    if said.pattern is not None:
        return patterns.named(own, said.pattern, vehicle).conditions, said.pattern
    held: Permission = plug_in.permission
    if held.conditions is not None and vehicle == plug_in.vehicle:
        return held.conditions, held.pattern
    kept = patterns.used(own, vehicle)
    return (kept.conditions, kept.name) if kept else (held.conditions, held.pattern)
