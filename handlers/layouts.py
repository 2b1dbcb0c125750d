"""The quick way to read samples: a station's MeterValues differ from one to the next in the values only.

What the samples say besides is compared with samples seen before, which is one step in C for each; where each value
goes is then known. Whatever does not fit goes the general way and gives the same reading.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final, NamedTuple

from handlers.slots import DEFAULT_CONTEXT, Collected, Sample, slot_for

MOST_LAYOUTS: Final = 1024
"""What stations send is free text: the table is emptied when somebody fills it."""


class Place(NamedTuple):
    """One sample of a layout. ``like``: all that it says; its value is that of the last sample it was compared with."""

    like: dict[str, Any]
    field: str | None
    label: str
    factor: float


class Layout(NamedTuple):
    """The samples of one MeterValue without their values."""

    context: str
    places: tuple[Place, ...]
    has_parts: bool


_layouts: dict[tuple[Any, ...], Layout | None] = {}


def collect_known(samples: Sequence[Sample]) -> Collected | None:
    """The samples sorted in, when they look like some before and every value is a plain number. On the loop only."""
    first = samples[0]
    key = (len(samples), first.get("measurand"), first.get("context"), samples[-1].get("measurand"))
    try:
        layout = _layouts[key]
    except KeyError:
        layout = _remember(key, samples)
    return None if layout is None else _filled(layout, samples)


def _filled(layout: Layout, samples: Sequence[Sample]) -> Collected | None:
    fields: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for sample, (like, field, label, factor) in zip(samples, layout.places, strict=True):
        like["value"] = said = sample.get("value")
        if like != sample:
            return None
        try:
            value = float(said) * factor  # type: ignore[arg-type]  # what is no number raises
            if type(said) is str and "_" in said:
                return None
        except (ValueError, TypeError):
            return None
        if not isfinite(value):
            return None
        if field is None:
            extra[label] = value
        else:
            fields[field] = value
    return Collected(layout.context, fields, extra, layout.has_parts)


def _remember(key: tuple[Any, ...], samples: Sequence[Sample]) -> Layout | None:
    """The layout of these samples, for all that come with the same key; None = they always go the general way."""
    if len(_layouts) >= MOST_LAYOUTS:
        _layouts.clear()
    is_simple = len({sample.get("context") for sample in samples}) == 1 and all(map(_is_simple, samples))
    _layouts[key] = _layout_of(samples) if is_simple else None
    return _layouts[key]


def _is_simple(sample: Sample) -> bool:
    return "signedMeterValue" not in sample and not (sample.get("unitOfMeasure") or {}).get("multiplier")


def _layout_of(samples: Sequence[Sample]) -> Layout:
    slots = [(sample, slot_for(sample)) for sample in samples]
    places = tuple(Place(dict(sample), slot.field, slot.label, slot.factor) for sample, slot in slots)
    has_parts = any(slot.is_part for _, slot in slots)
    return Layout(samples[0].get("context") or DEFAULT_CONTEXT, places, has_parts)


def forget() -> None:
    """Every layout; the next message of each kind is read the general way to find it again."""
    _layouts.clear()


def known_layouts() -> int:
    return len(_layouts)
