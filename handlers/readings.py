"""Meter values of every version, to Readings. Four messages of five are these: one cached lookup per sample.

1.6: value is text, unit beside it. 2.x: value is a number, ``unitOfMeasure`` holds unit and power of ten.
Which series counts: reference v2g-over-ocpp §4. Odd values: field lessons §8d.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from math import isfinite
from typing import Any, Final, NamedTuple

from csms.domain.facts import Reading
from handlers.times import instant
from handlers.wire import Context

Sample = Mapping[str, Any]
Values = dict[str, Any]

DEFAULT_MEASURAND: Final = "Energy.Active.Import.Register"
DEFAULT_CONTEXT: Final = "Sample.Periodic"

_FIELDS: Final = {
    "Energy.Active.Import.Register": "import_wh",
    "Energy.Active.Export.Register": "export_wh",
    "Power.Active.Import": "power_import_w",
    "Power.Active.Export": "power_export_w",
    "Power.Offered": "power_offered_w",
    "Power.Import.Offered": "power_offered_w",
    "Current.Import": "current_a",
    "Voltage": "voltage_v",
    "SoC": "soc_percent",
    "Display.PresentSOC": "soc_percent",
}
_SUMMED: Final = ("import_wh", "export_wh", "power_import_w", "power_export_w", "power_offered_w")
_MEASURANDS: Final = {field: measurand for measurand, field in reversed(_FIELDS.items())}
_PHASES: Final = (("L1", "L1-N"), ("L2", "L2-N"), ("L3", "L3-N"))
_THOUSANDS: Final = {"kwh": 1e3, "kw": 1e3, "kvarh": 1e3, "kvar": 1e3, "kva": 1e3, "kvah": 1e3, "ma": 1e-3, "mv": 1e-3}
_POWERS_OF_TEN: Final = {power: 10.0**power for power in range(-12, 13)}
_AT_THE_OUTLET: Final = (None, "Outlet")


class Slot(NamedTuple):
    """Where a sample goes: a field of Reading, or (None) to the extra values under its label. Factor to base units.

    ``is_part``: it may stand for a total that is missing (a phase, the outlet's cable).
    """

    field: str | None
    label: str
    factor: float
    is_part: bool


@lru_cache(maxsize=4096)
def slot_of(measurand: str | None, unit: str | None, phase: str | None, location: str | None) -> Slot:
    """The slot for one kind of sample. Bounded cache: 2.x units are free text from outside."""
    name = measurand or DEFAULT_MEASURAND
    label = name + (f".{phase}" if phase else "") + (f"@{location}" if location not in _AT_THE_OUTLET else "")
    field = _FIELDS.get(name)
    plain = phase is None and (location in _AT_THE_OUTLET or field == "soc_percent")
    factor = _THOUSANDS.get((unit or "").lower(), 1.0)
    return Slot(field if plain else None, label, factor, is_part=field is not None and not plain)


def readings(meter_values: Iterable[Mapping[str, Any]], context: Context) -> tuple[Reading, ...]:
    """One Reading per MeterValue and reading context: samples of Begin and Periodic in one packet are two readings."""
    signed = context.quirks.signed_power
    found: list[Reading] = []
    for meter_value in meter_values:
        at = instant(meter_value["timestamp"], context.received_at)
        samples = meter_value["sampledValue"]
        if len({sample.get("context") for sample in samples}) > 1:
            found.extend(_reading(group, at, signed_power=signed) for group in _by_context(samples))
        elif samples:
            found.append(_reading(samples, at, signed_power=signed))
    return tuple(found)


def _by_context(samples: Sequence[Sample]) -> Iterable[list[Sample]]:
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.get("context") or DEFAULT_CONTEXT, []).append(sample)
    return groups.values()


def _reading(samples: Sequence[Sample], at: datetime, *, signed_power: bool) -> Reading:
    fields: Values = {}
    extra: Values = {}
    if _collect(samples, fields, extra):
        _complete(fields, extra)
    if fields.get("power_import_w", 0.0) < 0.0 or fields.get("power_export_w", 0.0) < 0.0:
        _straighten(fields, extra, signed_power=signed_power)
    return Reading(at=at, context=samples[0].get("context") or DEFAULT_CONTEXT, extra=extra or None, **fields)


def _collect(samples: Sequence[Sample], fields: Values, extra: Values) -> bool:
    """Sort the samples in; whether there is one from which a missing total may be made."""
    has_parts = False
    for sample in samples:
        get = sample.get
        measure = get("unitOfMeasure")
        unit = get("unit") if measure is None else measure.get("unit")
        field, label, factor, is_part = slot_of(get("measurand"), unit, get("phase"), get("location"))
        try:
            value = float(sample["value"]) * factor
            if measure is not None and "multiplier" in measure:
                value *= _POWERS_OF_TEN[measure["multiplier"]]
        except (ValueError, TypeError, KeyError):
            _keep_raw(extra, label, sample)
            continue
        if not isfinite(value):
            _keep_raw(extra, label, sample)
        elif field is None:
            extra[label] = value
            has_parts = has_parts or is_part
        else:
            fields[field] = value
        if "signedMeterValue" in sample:
            extra[f"{label}#signed"] = sample["signedMeterValue"]
    return has_parts


def _keep_raw(extra: Values, label: str, sample: Sample) -> None:
    """What is no number is kept as it came; a signed value byte for byte (V2G-41). An empty text says nothing."""
    raw = sample.get("value")
    if sample.get("format") == "SignedData":
        extra[f"{label}#signed"] = raw
    elif raw not in ("", None):
        extra[f"{label}#raw"] = raw if isinstance(raw, str) else str(raw)


def _complete(fields: Values, extra: Values) -> None:
    """Fields without a total: from the outlet's cable, else from the phases (all three for energy and power)."""
    for field, measurand in _MEASURANDS.items():
        if field in fields:
            continue
        phases = [value for pair in _PHASES if (value := _phase(extra, measurand, pair)) is not None]
        if f"{measurand}@Cable" in extra:
            fields[field] = extra[f"{measurand}@Cable"]
        elif field in _SUMMED and len(phases) == len(_PHASES):
            fields[field] = sum(phases)
        elif field == "current_a" and phases:
            fields[field] = max(phases)
        elif field == "voltage_v" and phases:
            fields[field] = sum(phases) / len(phases)


def _phase(extra: Values, measurand: str, spellings: tuple[str, str]) -> Any:
    return next((extra[label] for phase in spellings if (label := f"{measurand}.{phase}") in extra), None)


def _straighten(fields: Values, extra: Values, *, signed_power: bool) -> None:
    """Import and export powers are never negative. Only a station known to sign its power means export by it;
    from any other a negative figure counts as 0 and is kept as it came."""
    if signed_power and fields.get("power_import_w", 0.0) < 0.0:
        fields["power_export_w"] = max(fields.get("power_export_w", 0.0), -fields["power_import_w"])
        fields["power_import_w"] = 0.0
    for field in ("power_import_w", "power_export_w"):
        if fields.get(field, 0.0) < 0.0:
            extra[f"{_MEASURANDS[field]}#raw"] = fields[field]
            fields[field] = 0.0
