"""The hard rules of one EVSE, each stated once. Written apart from the code that decides, to catch its errors."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal

from csms.domain.dr import Direction, DrEvent
from csms.domain.snapshot import Use
from policies.cases import Case

SLACK_WH = 1e-6
"""For the rounding of floats."""


def _evse_import_limit(case: Case) -> str | None:
    limit = case.evse.ratings.max_charge_w
    return f"{case.power_w} W > {limit} W" if case.power_w > limit else None


def _evse_export_limit(case: Case) -> str | None:
    limit = -case.evse.ratings.max_discharge_w
    return f"{case.power_w} W < {limit} W" if case.power_w < min(limit, 0) else None


def _vehicle_charge_limit(case: Case) -> str | None:
    battery = case.evse.battery
    is_broken = battery is not None and case.power_w > max(battery.max_charge_w, 0)
    return f"{case.power_w} W is more than the vehicle's limit" if is_broken else None


def _vehicle_discharge_limit(case: Case) -> str | None:
    battery = case.evse.battery
    is_broken = battery is not None and case.power_w < -max(battery.max_discharge_w, 0)
    return f"{case.power_w} W is more than the vehicle can give" if is_broken else None


def _discharge_without_permission(case: Case) -> str | None:
    is_permitted = case.evse.use is Use.RESOURCE and case.evse.terms.discharge
    return f"{case.power_w} W, use {case.evse.use}" if case.power_w < 0 and not is_permitted else None


def _charge_without_permission(case: Case) -> str | None:
    if case.power_w <= case.unavoidable_w:
        return None
    if case.evse.use in {Use.IDLE, Use.HELD}:
        return f"{case.power_w} W, use {case.evse.use}"
    is_refused = case.evse.use is Use.NOTHING or not case.evse.terms.charge
    return f"{case.power_w} W beyond the required charge" if is_refused and _exceeds_required(case) else None


def _exceeds_required(case: Case) -> bool:
    """Charging beyond the required charge. Its last step may be made at the least power, and to the next whole watt."""
    if case.lacking_wh <= 0:
        return case.power_w > 0
    return case.power_w > case.minimum_w and (case.power_w - 1) * case.horizon_h > case.lacking_wh + SLACK_WH


def _discharge_below_required(case: Case) -> str | None:
    battery, terms = case.evse.battery, case.evse.terms
    if battery is None or case.power_w >= 0:
        return None
    given_wh = -case.power_w * case.horizon_h
    left_wh = battery.energy_wh - battery.error_wh - given_wh / battery.discharge_efficiency
    if left_wh < terms.required_wh - SLACK_WH:
        return f"{left_wh:.0f} Wh < {terms.required_wh:.0f} Wh"
    added_wh = case.evse.added_wh - given_wh
    is_short = terms.required_added_wh > 0 and added_wh < terms.required_added_wh - SLACK_WH
    return f"{added_wh:.0f} Wh added < {terms.required_added_wh:.0f} Wh" if is_short else None


def _discharge_below_min_sell(case: Case) -> str | None:
    if case.power_w >= 0 or case.evse.battery is None:
        return None
    least, pays = _least_sell(case), case.sale_price
    return f"pays {pays}, at least {least} per kWh" if least is not None and pays < least else None


def _least_sell(case: Case) -> Decimal | None:
    """The user's minimum (P5); who entrusts the prices never loses by it: the energy is bought back with the losses of
    both ways (P8)."""
    battery = case.evse.battery
    if not case.evse.terms.entrust or battery is None:
        gain = case.evse.terms.min_incentive_per_kwh
        asked = [case.evse.terms.min_sell_per_kwh, gain if gain is None else case.tariff_per_kwh + gain]
        return max((price for price in asked if price is not None), default=None)
    kept = battery.charge_efficiency * battery.discharge_efficiency
    return Decimal(max(0.0, float(case.tariff_per_kwh)) / kept).quantize(Decimal("0.000001"), rounding="ROUND_FLOOR")


def _charge_above_max_buy(case: Case) -> str | None:
    terms, price = case.evse.terms, case.purchase_price
    if case.evse.use not in {Use.RESOURCE, Use.PLAIN} or terms.entrust or case.power_w <= case.unavoidable_w:
        return None
    limits = [] if terms.max_buy_per_kwh is None else [terms.max_buy_per_kwh]
    if case.is_raised and terms.min_incentive_per_kwh is not None:
        limits.append(case.tariff_per_kwh - terms.min_incentive_per_kwh)
    most = min(limits, default=price)
    return f"costs {price}, at most {most} per kWh" if price > most and _exceeds_required(case) else None


def _event_without_permission(case: Case) -> str | None:
    is_used = case.setpoint.event is not None and case.evse.use is not Use.RESOURCE
    return f"event {case.setpoint.event}, use {case.evse.use}" if is_used else None


def _event_not_in_force(case: Case) -> str | None:
    over = [name for name in case.setpoint.events if name not in case.events]
    return f"event {over[0]} is not in force here" if over else None


def _watt_of_no_event(case: Case) -> str | None:
    """Where events share a setpoint, each watt that was moved belongs to one of them, all in one direction."""
    parts = case.setpoint.parts
    if not parts:
        return None
    moved_w, named_w = case.power_w - case.setpoint.counterfactual_w, sum(part.power_w for part in parts)
    ways = {case.events[part.event].direction for part in parts if part.event in case.events}
    expected_w = named_w if Direction.UP in ways else -named_w
    is_whole = moved_w == expected_w and len(ways) == 1 and all(part.power_w > 0 for part in parts)
    return None if is_whole else f"{moved_w} W moved, {expected_w} W by {len(parts)} parts"


def _price_worse_than_promised(case: Case) -> str | None:
    """What each event pays at least, or costs at most; an upward price is never above the tariff (P11)."""
    own = {case.event.id: case.setpoint.price_per_kwh} if case.event else {}
    frozen = {part.event: part.price_per_kwh for part in case.setpoint.parts}
    texts = (
        _worse_than(case, case.events[name], price) for name, price in (own | frozen).items() if name in case.events
    )
    return next((text for text in texts if text), None)


def _worse_than(case: Case, event: DrEvent, price: Decimal | None) -> str | None:
    given = case.tariff_per_kwh if price is None else price
    promised = event.unit_price(case.tariff_per_kwh)
    if event.direction is Direction.UP:
        most = min(promised, case.tariff_per_kwh)
        return f"costs {given}, at most {most} per kWh" if given > most else None
    return f"pays {given}, promised {promised} per kWh" if given < promised else None


def _discharge_outside_slot(case: Case) -> str | None:
    until = case.evse.terms.permitted_until
    is_broken = case.power_w < 0 and until is not None and case.setpoint.expires_at > until
    return f"{case.power_w} W after {until}" if is_broken else None


def _soc_unknown_discharge(case: Case) -> str | None:
    is_known = case.evse.battery is not None and case.evse.battery.is_told
    return f"{case.power_w} W" if case.power_w < 0 and not is_known else None


def _discharge_unproven(case: Case) -> str | None:
    return f"{case.power_w} W" if case.power_w < 0 and not case.evse.can_discharge else None


def _overfill(case: Case) -> str | None:
    energy_wh = case.power_w * case.horizon_h
    is_broken = case.power_w > case.unavoidable_w and energy_wh > case.room_wh + SLACK_WH
    return f"{energy_wh:.0f} Wh into {case.room_wh:.0f} Wh" if is_broken else None


def _below_minimum_power(case: Case) -> str | None:
    is_broken = case.follows and 0 < case.power_w < case.minimum_w
    return f"{case.power_w} W < {case.minimum_w} W" if is_broken else None


def _pause_ends_transaction(case: Case) -> str | None:
    is_broken = case.follows and case.power_w < case.unavoidable_w and case.unavoidable_w > 0
    return f"{case.power_w} W < {case.unavoidable_w} W" if is_broken else None


def _expiry_too_long(case: Case) -> str | None:
    ends = [case.now + timedelta(hours=case.horizon_h), *(event.stops_at for event in case.events.values())]
    expires_at = case.setpoint.expires_at
    return f"in force until {expires_at}, at most {min(ends)}" if not case.now < expires_at <= min(ends) else None


RULES: Mapping[str, Callable[[Case], str | None]] = {
    "evse_import_limit": _evse_import_limit,
    "evse_export_limit": _evse_export_limit,
    "vehicle_charge_limit": _vehicle_charge_limit,
    "vehicle_discharge_limit": _vehicle_discharge_limit,
    "discharge_without_permission": _discharge_without_permission,
    "charge_without_permission": _charge_without_permission,
    "discharge_below_required": _discharge_below_required,
    "discharge_below_min_sell": _discharge_below_min_sell,
    "charge_above_max_buy": _charge_above_max_buy,
    "event_without_permission": _event_without_permission,
    "event_not_in_force": _event_not_in_force,
    "watt_of_no_event": _watt_of_no_event,
    "price_worse_than_promised": _price_worse_than_promised,
    "discharge_outside_slot": _discharge_outside_slot,
    "soc_unknown_discharge": _soc_unknown_discharge,
    "discharge_unproven": _discharge_unproven,
    "overfill": _overfill,
    "below_minimum_power": _below_minimum_power,
    "pause_ends_transaction": _pause_ends_transaction,
    "expiry_too_long": _expiry_too_long,
}
"""The rules of one EVSE. Those of several are ``missing_evse``, ``site_import_limit``, ``site_export_limit``,
``required_charge_missed`` and ``plain_charging_withheld``."""


def broken_rules(case: Case) -> Iterator[tuple[str, str]]:
    """(rule, text) of each rule of one EVSE that its setpoint breaks."""
    for rule, check in RULES.items():
        text = check(case)
        if text is not None:
            yield rule, text
