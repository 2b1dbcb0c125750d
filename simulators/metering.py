"""What the meter of an EVSE shows, in the shapes of 1.6 (text) and 2.x (numbers)."""

from typing import Any

from simulators.evse import Meter
from simulators.hardware import Evse, Hardware

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


def shown(hardware: Hardware, evse: Evse) -> Meter:
    """The meter as it is read: frozen, reset or in the wrong unit where the station misbehaves."""
    real = evse.frozen or evse.meter
    zero, divisor = evse.meter_zero, 1000.0 if hardware.behaviour.kwh_as_wh else 1.0
    return Meter(real.power_w, (real.import_wh - zero.import_wh) / divisor, (real.export_wh - zero.export_wh) / divisor)


def import_register_wh(hardware: Hardware, evse: Evse) -> int:
    """1.6 meterStart and meterStop: whole Wh."""
    return int(shown(hardware, evse).import_wh)


def readings(hardware: Hardware, evse: Evse) -> dict[str, float]:
    """The configured measurands that have a value."""
    values = _all_readings(hardware, evse)
    wanted = (item.strip() for item in hardware.configuration.text("measurands").split(","))
    return {name: values[name] for name in wanted if name in values}


def _all_readings(hardware: Hardware, evse: Evse) -> dict[str, float]:
    meter = shown(hardware, evse)
    given, taken = max(meter.power_w, 0.0), max(-meter.power_w, 0.0)
    if hardware.behaviour.signed_power:
        given, taken = meter.power_w, 0.0
    per_phase = evse.spec.voltage_v * evse.spec.phases
    values = {
        "Energy.Active.Import.Register": round(meter.import_wh, 1),
        "Energy.Active.Export.Register": round(meter.export_wh, 1),
        "Power.Active.Import": round(given, 1),
        "Power.Active.Export": round(taken, 1),
        "Voltage": evse.spec.voltage_v,
        "Current.Import": round(max(given, 0.0) / per_phase, 1),
        "Current.Export": round(taken / per_phase, 1),
    }
    knows_soc = evse.ev is not None and not hardware.behaviour.no_soc
    return values | ({"SoC": round(evse.ev.soc * 100, 1)} if knows_soc and evse.ev else {})


def meter_value_v16(hardware: Hardware, evse: Evse, context: str) -> Payload:
    """One 1.6 meterValue."""
    return {
        "timestamp": hardware.stamp(),
        "sampledValue": [
            {"value": f"{value:g}" if name == "SoC" else f"{value:.1f}", "context": context, "measurand": name}
            | {"unit": UNITS[name]}
            for name, value in readings(hardware, evse).items()
        ],
    }


def meter_value_v2(hardware: Hardware, evse: Evse, context: str) -> Payload:
    """One 2.x meterValue."""
    return {
        "timestamp": hardware.stamp(),
        "sampledValue": [
            {"value": value, "context": context, "measurand": name, "unitOfMeasure": {"unit": UNITS[name]}}
            for name, value in readings(hardware, evse).items()
        ],
    }
