"""Meter values of every version, to Readings. Four messages of five are these.

1.6: value is text, unit beside it. 2.x: value is a number, ``unitOfMeasure`` holds unit and power of ten.
Which series counts: reference v2g-over-ocpp §4. Odd values: field lessons §8d.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, Final

from csms.domain.facts import Reading
from handlers.slots import DEFAULT_CONTEXT, FIELDS, POWERS_OF_TEN, Collected, Sample, Values, number_of, slot_for
from handlers.times import stamp
from handlers.wire import Context

_SUMMED: Final = ("import_wh", "export_wh", "power_import_w", "power_export_w", "power_offered_w")
_MEASURANDS: Final = {field: measurand for measurand, field in reversed(FIELDS.items())}
_PHASES: Final = (("L1", "L1-N"), ("L2", "L2-N"), ("L3", "L3-N"))


def readings(meter_values: Iterable[Mapping[str, Any]], context: Context) -> tuple[Reading, ...]:
    """One Reading per MeterValue and reading context: samples of Begin and Periodic in one packet are two readings."""
    signed = context.quirks.signed_power
    found: list[Reading] = []
    for meter_value in meter_values:
        samples = meter_value["sampledValue"]
        if samples:
            at, device_at = stamp(meter_value["timestamp"], context.received_at)
            found += [completed(group, at, device_at, signed_power=signed) for group in _by_context(samples)]
    return tuple(found)


def _by_context(samples: Sequence[Sample]) -> list[Collected]:
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.get("context") or DEFAULT_CONTEXT, []).append(sample)
    return [_collect(context, group) for context, group in groups.items()]


def completed(collected: Collected, at: datetime, device_at: datetime | None, *, signed_power: bool) -> Reading:
    """The reading of samples that were sorted in: totals from their parts, powers without a sign."""
    context, fields, extra, has_parts = collected
    if has_parts:
        _complete(fields, extra)
    if fields.get("power_import_w", 0.0) < 0.0 or fields.get("power_export_w", 0.0) < 0.0:
        _straighten(fields, extra, signed_power=signed_power)
    if "soc_percent" in fields:
        fields["soc_percent"] = round(fields["soc_percent"], 1)  # 60.099998 is a single-precision 60.1
    return Reading(at=at, device_at=device_at, context=context, extra=extra or None, **fields)


def _collect(context: str, samples: Sequence[Sample]) -> Collected:
    fields: Values = {}
    extra: Values = {}
    has_parts = False
    for sample in samples:
        field, label, factor, is_part = slot_for(sample)
        measure = sample.get("unitOfMeasure")
        try:
            value = number_of(sample["value"]) * factor
            if measure is not None and "multiplier" in measure:
                value *= POWERS_OF_TEN[measure["multiplier"]]
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
    return Collected(context, fields, extra, has_parts)


def _keep_raw(extra: Values, label: str, sample: Sample) -> None:
    """What is no number is kept as it came; a signed value byte for byte (V2G-41). An empty text says nothing."""
    raw = sample.get("value")
    if sample.get("format") == "SignedData":
        extra[f"{label}#signed"] = raw
    elif raw not in ("", None):
        extra[f"{label}#raw"] = raw if isinstance(raw, str) else str(raw)


def _complete(fields: Values, extra: Values) -> None:
    """Fields without a total: from the outlet's cable, else from the phases. Of energy and power all three are needed,
    or L1 alone: then it is the only one."""
    for field, measurand in _MEASURANDS.items():
        if field in fields:
            continue
        by_phase = [_phase(extra, measurand, pair) for pair in _PHASES]
        phases = [value for value in by_phase if value is not None]
        if f"{measurand}@Cable" in extra:
            fields[field] = extra[f"{measurand}@Cable"]
        elif field in _SUMMED and (len(phases) == len(_PHASES) or (len(phases) == 1 and by_phase[0] is not None)):
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
