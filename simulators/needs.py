"""NotifyEVChargingNeeds: what the vehicle tells about itself (2.0.1 K15, 2.1 Q01)."""

from simulators.ev import Ev
from simulators.hardware import Evse, Hardware, Payload


def charging_needs(hardware: Hardware, evse: Evse, ev: Ev, *, is_v21: bool) -> Payload:
    """The payload; 2.1 adds v2xChargingParameters (powers are magnitudes, W; energies Wh)."""
    kind = "AC_three_phase" if evse.spec.phases == 3 else "AC_single_phase"
    needs: Payload = {"requestedEnergyTransfer": kind, "acChargingParameters": _ac(evse, ev)}
    if ev.departs_at:
        needs["departureTime"] = hardware.stamp(ev.departs_at)
    if is_v21 and ev.max_discharge_w > 0:
        needs |= {"requestedEnergyTransfer": "AC_BPT", "availableEnergyTransfer": [kind, "AC_BPT"]}
        needs |= {"controlMode": "DynamicControl", "mobilityNeedsMode": "EVCC_SECC"}
        needs["v2xChargingParameters"] = _v2x(evse, ev)
        return {"evseId": evse.number, "chargingNeeds": needs, "timestamp": hardware.stamp()}
    return {"evseId": evse.number, "chargingNeeds": needs}


def speaks_20(needs: Payload) -> bool:
    """Whether this vehicle's session is ISO 15118-20: only that has a control mode."""
    return "controlMode" in needs["chargingNeeds"]


def _to_go_wh(ev: Ev, soc: float) -> float:
    return round(soc * ev.battery.capacity_wh - ev.battery.energy_wh, 1)


def _ac(evse: Evse, ev: Ev) -> Payload:
    current = round(ev.max_charge_w / (evse.spec.voltage_v * evse.spec.phases))
    return {
        "energyAmount": round(max(0.0, _to_go_wh(ev, ev.required_soc))),
        "evMinCurrent": round(evse.spec.min_current_a),
        "evMaxCurrent": current,
        "evMaxVoltage": round(evse.spec.voltage_v),
    }


def _v2x(evse: Evse, ev: Ev) -> Payload:
    """evMinV2XEnergyRequest negative: so many Wh may be taken (reference V2G §3)."""
    return {
        "minChargePower": evse.spec.min_charge_w,
        "maxChargePower": min(ev.max_charge_w, evse.spec.max_charge_w),
        "minDischargePower": evse.spec.min_discharge_w,
        "maxDischargePower": min(ev.max_discharge_w, evse.spec.max_discharge_w),
        "evTargetEnergyRequest": _to_go_wh(ev, ev.required_soc),
        "evMinEnergyRequest": _to_go_wh(ev, ev.battery.min_soc),
        "evMaxEnergyRequest": _to_go_wh(ev, ev.battery.max_soc),
        "evMinV2XEnergyRequest": _to_go_wh(ev, ev.battery.min_soc),
        "evMaxV2XEnergyRequest": _to_go_wh(ev, ev.battery.max_soc),
        "targetSoC": round(ev.required_soc * 100),
    }
