"""What the meter of an EVSE shows, in the shapes of 1.6 (text) and 2.x (numbers)."""

from typing import Any

from simulators.cabinet import Bay, Cabinet
from simulators.evse import Meter

Payload = dict[str, Any]
UNITS = {
    "Energy.Active.Import.Register": "Wh",
    "Energy.Active.Export.Register": "Wh",
    "Power.Active.Import": "W",
    "Power.Active.Export": "W",
    "SoC": "Percent",
    "Voltage": "V",
    "Current.Import": "A",
    "Current.Export": "A",
}


def shown(cabinet: Cabinet, bay: Bay) -> Meter:
    """The meter as it is read: frozen, reset or in the wrong unit where the station misbehaves."""
    real = bay.frozen or bay.meter
    zero, divisor = bay.meter_zero, 1000.0 if cabinet.behaviour.kwh_as_wh else 1.0
    return Meter(real.power_w, (real.import_wh - zero.import_wh) / divisor, (real.export_wh - zero.export_wh) / divisor)


def import_register_wh(cabinet: Cabinet, bay: Bay) -> int:
    """1.6 meterStart and meterStop: whole Wh."""
    return int(shown(cabinet, bay).import_wh)


def readings(cabinet: Cabinet, bay: Bay) -> dict[str, float]:
    """The configured measurands that have a value."""
    values = _all_readings(cabinet, bay)
    wanted = (item.strip() for item in cabinet.configuration.text("measurands").split(","))
    return {name: values[name] for name in wanted if name in values}


def _all_readings(cabinet: Cabinet, bay: Bay) -> dict[str, float]:
    meter = shown(cabinet, bay)
    given, taken = max(meter.power_w, 0.0), max(-meter.power_w, 0.0)
    if cabinet.behaviour.signed_power:
        given, taken = meter.power_w, 0.0
    per_phase = bay.spec.voltage_v * bay.spec.phases
    values = {
        "Energy.Active.Import.Register": round(meter.import_wh, 1),
        "Energy.Active.Export.Register": round(meter.export_wh, 1),
        "Power.Active.Import": round(given, 1),
        "Power.Active.Export": round(taken, 1),
        "Voltage": bay.spec.voltage_v,
        "Current.Import": round(max(given, 0.0) / per_phase, 1),
        "Current.Export": round(taken / per_phase, 1),
    }
    knows_soc = bay.ev is not None and not cabinet.behaviour.no_soc
    return values | ({"SoC": round(bay.ev.soc * 100, 1)} if knows_soc and bay.ev else {})


def meter_value_v16(cabinet: Cabinet, bay: Bay, context: str) -> Payload:
    """One 1.6 meterValue."""
    return {
        "timestamp": cabinet.stamp(),
        "sampledValue": [
            {"value": f"{value:g}" if name == "SoC" else f"{value:.1f}", "context": context, "measurand": name}
            | {"unit": UNITS[name]}
            for name, value in readings(cabinet, bay).items()
        ],
    }


def meter_value_v2(cabinet: Cabinet, bay: Bay, context: str) -> Payload:
    """One 2.x meterValue."""
    return {
        "timestamp": cabinet.stamp(),
        "sampledValue": [
            {"value": value, "context": context, "measurand": name, "unitOfMeasure": {"unit": UNITS[name]}}
            for name, value in readings(cabinet, bay).items()
        ],
    }
