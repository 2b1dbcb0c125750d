"""NotifyEVChargingNeeds (K15, K17; 2.1: Q01), to a fact. Sign and meaning of the fields: reference §1.1, §3."""

from typing import Any, Final

from csms.domain.facts import NeedsReported
from handlers.times import parsed
from handlers.wire import Context, Payload

_ISO20_FIELDS: Final = ("controlMode", "mobilityNeedsMode", "v2xChargingParameters", "derChargingParameters")
_AC_PHASES: Final = {"AC_single_phase": 1, "AC_two_phase": 2, "AC_three_phase": 3}

Needs = dict[str, Any]


def decode(payload: Payload, context: Context, message_id: str) -> NeedsReported:
    """What the vehicle told the station of itself; 0 where a value makes no sense counts as not said."""
    needs = payload["chargingNeeds"]
    direct = needs.get("dcChargingParameters", {})
    return NeedsReported(
        origin=context.origin(message_id),
        evse=context.evse(payload["evseId"]),
        iso20=is_iso20(needs),
        bidirectional="_BPT" in needs["requestedEnergyTransfer"],
        departure_at=parsed(needs.get("departureTime")),
        soc_percent=direct.get("stateOfCharge"),
        capacity_wh=_whole(direct.get("evEnergyCapacity")) or None,
        energy_wanted_wh=_energy_wanted(needs),
        max_charge_w=_max_charge(needs),
        max_discharge_w=_over_phases(needs.get("v2xChargingParameters", {}), "maxDischargePower"),
    )


def is_iso20(needs: Needs) -> bool:
    """Whether an ISO 15118-20 session (or CHAdeMO over 2.1) speaks, not an ISO 15118-2 one (V2G-13)."""
    return any(field in needs for field in _ISO20_FIELDS) or "_BPT" in needs["requestedEnergyTransfer"]


def _energy_wanted(needs: Needs) -> int | None:
    sources = (
        ("v2xChargingParameters", "evTargetEnergyRequest"),
        ("dcChargingParameters", "energyAmount"),
        ("acChargingParameters", "energyAmount"),
    )
    figures = (needs.get(part, {}).get(field) for part, field in sources)
    figure = next((figure for figure in figures if figure is not None), None)
    return None if figure is None else max(0, round(figure))  # negative: more than wanted is in already


def _max_charge(needs: Needs) -> int | None:
    from_v2x = _over_phases(needs.get("v2xChargingParameters", {}), "maxChargePower")
    return from_v2x or _whole(needs.get("dcChargingParameters", {}).get("evMaxPower")) or _ac_power(needs)


def _over_phases(parameters: Needs, field: str) -> int | None:
    """A power as a magnitude: some vehicles send their discharge limits negative. With ``_L2`` and ``_L3`` beside it
    the unsuffixed figure is phase 1 (V2X.06)."""
    figures = [parameters[name] for name in (field, f"{field}_L2", f"{field}_L3") if name in parameters]
    return _whole(sum(abs(figure) for figure in figures)) if figures else None


def _ac_power(needs: Needs) -> int | None:
    """ISO 15118-2 AC names a current per phase, the voltage to neutral, and the phases by the kind of transfer."""
    phases = _AC_PHASES.get(needs["requestedEnergyTransfer"])
    if phases is None or "acChargingParameters" not in needs:
        return None
    ac = needs["acChargingParameters"]
    return _whole(ac["evMaxCurrent"] * ac["evMaxVoltage"] * phases) or None


def _whole(figure: float | None) -> int | None:
    return None if figure is None else round(figure)
