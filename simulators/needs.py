"""NotifyEVChargingNeeds: what the vehicle tells about itself (2.0.1 K15, 2.1 Q01)."""

from simulators.cabinet import Bay, Cabinet, Payload
from simulators.ev import Ev


def charging_needs(cabinet: Cabinet, bay: Bay, ev: Ev, *, is_v21: bool) -> Payload:
    """The payload; 2.1 adds v2xChargingParameters (powers are magnitudes, W; energies Wh)."""
    kind = "AC_three_phase" if bay.spec.phases == 3 else "AC_single_phase"
    needs: Payload = {"requestedEnergyTransfer": kind, "acChargingParameters": _ac(bay, ev)}
    if ev.departs_at:
        needs["departureTime"] = cabinet.stamp(ev.departs_at)
    if is_v21 and ev.max_discharge_w > 0:
        needs |= {"requestedEnergyTransfer": "AC_BPT", "availableEnergyTransfer": [kind, "AC_BPT"]}
        needs |= {"controlMode": "DynamicControl", "mobilityNeedsMode": "EVCC_SECC"}
        needs["v2xChargingParameters"] = _v2x(bay, ev)
        return {"evseId": bay.number, "chargingNeeds": needs, "timestamp": cabinet.stamp()}
    return {"evseId": bay.number, "chargingNeeds": needs}


def _to_go_wh(ev: Ev, soc: float) -> float:
    return round(soc * ev.battery.capacity_wh - ev.battery.energy_wh, 1)


def _ac(bay: Bay, ev: Ev) -> Payload:
    current = round(ev.max_charge_w / (bay.spec.voltage_v * bay.spec.phases))
    return {
        "energyAmount": round(max(0.0, _to_go_wh(ev, ev.required_soc))),
        "evMinCurrent": round(bay.spec.min_current_a),
        "evMaxCurrent": current,
        "evMaxVoltage": round(bay.spec.voltage_v),
    }


def _v2x(bay: Bay, ev: Ev) -> Payload:
    """evMinV2XEnergyRequest negative: so many Wh may be taken (reference V2G §3)."""
    return {
        "minChargePower": bay.spec.min_charge_w,
        "maxChargePower": min(ev.max_charge_w, bay.spec.max_charge_w),
        "minDischargePower": bay.spec.min_discharge_w,
        "maxDischargePower": min(ev.max_discharge_w, bay.spec.max_discharge_w),
        "evTargetEnergyRequest": _to_go_wh(ev, ev.required_soc),
        "evMinEnergyRequest": _to_go_wh(ev, ev.battery.min_soc),
        "evMaxEnergyRequest": _to_go_wh(ev, ev.battery.max_soc),
        "evMinV2XEnergyRequest": _to_go_wh(ev, ev.battery.min_soc),
        "evMaxV2XEnergyRequest": _to_go_wh(ev, ev.battery.max_soc),
        "targetSoC": round(ev.required_soc * 100),
    }
