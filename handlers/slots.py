"""Where each kind of sample belongs: a field of Reading, or the extra values. One cached lookup per sample."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

Sample = Mapping[str, Any]
Values = dict[str, Any]

DEFAULT_MEASURAND: Final = "Energy.Active.Import.Register"
DEFAULT_CONTEXT: Final = "Sample.Periodic"

FIELDS: Final = {
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
POWERS_OF_TEN: Final = {power: 10.0**power for power in range(-12, 13)}
_THOUSANDS: Final = {"kwh": 1e3, "kw": 1e3, "kvarh": 1e3, "kvar": 1e3, "kva": 1e3, "kvah": 1e3, "ma": 1e-3, "mv": 1e-3}
_AT_THE_OUTLET: Final = (None, "Outlet")


_DECIMAL_COMMA: Final = re.compile(r"\s*([+-]?\d+),(\d{1,2}|\d{4,})\s*")
"""Three digits behind a comma may be thousands: nobody can say."""


def number_of(value: Any) -> float:
    """A sample's value; a decimal comma is read. ValueError or TypeError for what is no number ("1_0" is Python's)."""
    if isinstance(value, str):
        if "_" in value:
            raise ValueError(value)
        if "," in value and (match := _DECIMAL_COMMA.fullmatch(value)):
            return float(".".join(match.groups()))
    return float(value)


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
    field = FIELDS.get(name)
    plain = phase is None and (location in _AT_THE_OUTLET or field == "soc_percent")
    factor = _THOUSANDS.get((unit or "").lower(), 1.0)
    return Slot(field if plain else None, label, factor, is_part=field is not None and not plain)


def slot_for(sample: Sample) -> Slot:
    """The slot of one sample, without the power of ten that 2.x may name beside the unit."""
    measure = sample.get("unitOfMeasure")
    unit = sample.get("unit") if measure is None else measure.get("unit")
    return slot_of(sample.get("measurand"), unit, sample.get("phase"), sample.get("location"))


class Collected(NamedTuple):
    """Samples of one context, sorted in. ``has_parts``: there is one from which a missing total may be made."""

    context: str
    fields: Values
    extra: Values
    has_parts: bool
