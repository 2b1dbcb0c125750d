"""The one energy model of a plug-in: what went through the plug, what is in the battery, what flows now.

Everything that needs an energy reads it here: corridor, counterfactual, capacity, pages. V2G-33; findings A6, B10, F9.
Live figures in float; money is counted exactly, in ``policies.metering``.
"""

from datetime import datetime

from csms.domain.facts import NeedsReported
from csms.domain.people import Vehicle
from csms.domain.permission import PlugIn
from csms.domain.snapshot import Battery, Terms
from policies.meter import Meter, Told, count_all, counted, hours, power_w, told_soc

__all__ = ["Meter", "battery_of", "count_all", "counted", "need_wh", "power_w", "told_soc", "vehicle_record"]

DEFAULT_CAPACITY_WH = 40_000
DEFAULT_CHARGE_W = 7_360
DEFAULT_EFFICIENCY = 0.9
"""Of a vehicle without a record: the same as a record nobody filled in (``people.Vehicle``), but it is only charged:
nobody said that it can give anything back."""

ROUNDING_SHARE = 0.005
"""Of the capacity: stations round the state of charge to whole percents."""
LOSS_SHARE = 0.05
"""Of what went through the plug since it was told: the efficiency is not known better."""
STANDBY_W = 250
"""What a standing vehicle may use by itself."""
TRUSTED_SHARE = 0.1
"""Of the capacity: a told state of charge that may be further off is none (V2G-33)."""


def battery_of(
    plug_in: PlugIn,
    meter: Meter,
    vehicle: Vehicle | None,
    needs: NeedsReported | None,
    now: datetime,
    stated_soc_percent: float | None = None,
) -> Battery:
    """The battery at a plug-in now, from the register, the state of charge told, the user's word and the record.

    ``is_told`` where a state of charge was told and, rolled forward by the meter, is off by a tenth of the capacity at
    most. Else ``energy_wh`` is the least that can be in it. A6, V2G-33. ``stated_soc_percent``: the user's word, where
    the plug-in does not carry it.
    """
    stated = plug_in.stated_soc_percent if stated_soc_percent is None else stated_soc_percent
    record = vehicle_record(vehicle, needs)
    told = meter.told or _told_at_plug_in(plug_in)
    if told is None:
        return _filled(record, _least_wh(record, stated, meter))
    energy_wh = _within(record, record.capacity_wh * told.percent / 100 + _stored_wh(record, meter, told))
    error_wh = _error_wh(record, meter, told, now)
    if error_wh <= TRUSTED_SHARE * record.capacity_wh:
        return _filled(record, energy_wh, error_wh, is_told=True)
    return _filled(record, max(_within(record, energy_wh - error_wh), _least_wh(record, stated, meter)))


def _filled(record: Battery, energy_wh: float, error_wh: float = 0.0, *, is_told: bool = False) -> Battery:
    """Spelled out: ``replace`` takes three times as long, and this is done for every vehicle in every tick."""
    return Battery(
        capacity_wh=record.capacity_wh,
        energy_wh=energy_wh,
        error_wh=error_wh,
        max_charge_w=record.max_charge_w,
        max_discharge_w=record.max_discharge_w,
        charge_efficiency=record.charge_efficiency,
        discharge_efficiency=record.discharge_efficiency,
        is_told=is_told,
    )


def vehicle_record(vehicle: Vehicle | None, needs: NeedsReported | None) -> Battery:
    """Capacity, limits and efficiencies; ``energy_wh`` 0. What the vehicle says now goes before the record, but never
    raises its limits."""
    capacity_wh = vehicle.capacity_wh if vehicle else DEFAULT_CAPACITY_WH
    return Battery(
        capacity_wh=(needs.capacity_wh if needs else None) or capacity_wh,
        energy_wh=0.0,
        max_charge_w=_least(
            vehicle.max_charge_w if vehicle else DEFAULT_CHARGE_W, needs.max_charge_w if needs else None
        ),
        max_discharge_w=_least(vehicle.max_discharge_w if vehicle else 0, needs.max_discharge_w if needs else None),
        charge_efficiency=vehicle.charge_efficiency if vehicle else DEFAULT_EFFICIENCY,
        discharge_efficiency=vehicle.discharge_efficiency if vehicle else DEFAULT_EFFICIENCY,
        is_told=False,
    )


def _least(ours: int, said: int | None) -> int:
    return ours if said is None else min(ours, said)


def _told_at_plug_in(plug_in: PlugIn) -> Told | None:
    """A state of charge that came by another way than a reading, before anything was counted."""
    if plug_in.soc_percent is None or plug_in.soc_at is None:
        return None
    return Told(percent=plug_in.soc_percent, at=plug_in.soc_at, import_wh=0.0, export_wh=0.0)


def _least_wh(record: Battery, stated_soc_percent: float | None, meter: Meter) -> float:
    stated_wh = record.capacity_wh * (stated_soc_percent or 0.0) / 100
    return _within(record, stated_wh + _stored_wh(record, meter, None))


def _stored_wh(record: Battery, meter: Meter, since: Told | None) -> float:
    """Battery content gained by what was metered since a state of charge was told, or since the plug-in."""
    import_wh, export_wh = (since.import_wh, since.export_wh) if since else (0.0, 0.0)
    gained = (meter.imported.total_wh - import_wh) * record.charge_efficiency
    return gained - (meter.exported.total_wh - export_wh) / record.discharge_efficiency


def _error_wh(record: Battery, meter: Meter, told: Told, now: datetime) -> float:
    """How much less may be in the battery: rounding, losses, its own use, and what went out unmetered."""
    through_wh = meter.imported.total_wh - told.import_wh + meter.exported.total_wh - told.export_wh
    unmetered_h = max(hours(now - max(told.at, meter.metered_at or told.at)), 0.0)
    age_h = max(hours(now - told.at), 0.0)
    own_wh = STANDBY_W * age_h + record.max_discharge_w / record.discharge_efficiency * unmetered_h
    return ROUNDING_SHARE * record.capacity_wh + LOSS_SHARE * through_wh + own_wh


def _within(record: Battery, energy_wh: float) -> float:
    return min(max(energy_wh, 0.0), float(record.capacity_wh))


def need_wh(battery: Battery, terms: Terms, added_wh: float) -> float:
    """What is still to be charged at the AC side for the required charge, as content and as energy added."""
    content_wh = (terms.required_wh - battery.energy_wh) / battery.charge_efficiency
    to_add_wh = terms.required_added_wh - added_wh if terms.required_added_wh > 0 else 0.0
    return max(content_wh, to_add_wh, 0.0)
