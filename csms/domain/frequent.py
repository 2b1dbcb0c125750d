"""Values that are made several times for every message."""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def frequent(cls: type[T]) -> type[T]:
    """A frozen, keyword-only dataclass of which only the type checker guards the fields.

    The guard at run time makes each field three times as expensive to set, which is 2 µs of every MeterValues.
    """
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(cls)
