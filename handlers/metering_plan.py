"""What stations are asked to sample. Short lists: one station overwrites other settings above ~128 characters,
others cut the list (field lessons §8d)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

_IMPORT: Final = "Energy.Active.Import.Register"
_EXPORT: Final = "Energy.Active.Export.Register"
_POWER_IN: Final = "Power.Active.Import"
_POWER_OUT: Final = "Power.Active.Export"
_SOC: Final = "SoC"

SAMPLED: Final = tuple(
    ",".join(names)
    for names in (
        (_IMPORT, _POWER_IN),
        (_IMPORT, _POWER_IN, _SOC),
        (_IMPORT, _EXPORT, _POWER_IN, _POWER_OUT),
        (_IMPORT, _EXPORT, _POWER_IN, _POWER_OUT, _SOC),
    )
)
"""Set one after another. A station refuses a whole list for one measurand it lacks, and keeps the list before:
the last one that it accepts is the best it can do (V2G-23)."""

AT_THE_END: Final = (_IMPORT, f"{_IMPORT},{_EXPORT}")
"""Registers with the end of a transaction, so that its last minutes are measured too."""

Setting = tuple[str, str, Callable[[str], bool]]
"""A key, a value for it, and whether a value that is there serves as well."""


def to_write(settings: Sequence[Setting], known: Mapping[str, str], avoid: frozenset[str]) -> list[tuple[str, str]]:
    """Keys and values in the order in which they are set: only what does not serve as it is (field lesson 22). Of
    lists that are set one after another, those after the one that is there."""
    wanted = [each for each in settings if each[0] not in avoid]
    tried = {key: [value for k, value, _ in wanted if k == key] for key, _, _ in wanted}
    return [
        (key, value)
        for number, (key, value, serves) in enumerate(wanted)
        if key not in known or not (serves(known[key]) or _is_done(known[key], wanted[number:], key, tried[key]))
    ]


def _is_done(known: str, left: Sequence[Setting], key: str, tried: Sequence[str]) -> bool:
    """Whether the value that is there comes now or later in the list."""
    return known in tried and known in [value for k, value, _ in left if k == key]


def at_least(seconds: int) -> Callable[[str], bool]:
    return lambda value: value.strip().isdecimal() and int(value) >= seconds


def within(seconds: int) -> Callable[[str], bool]:
    """An interval that is shorter serves too; 0 means never."""
    return lambda value: value.strip().isdecimal() and 0 < int(value) <= seconds


def just(wanted: str) -> Callable[[str], bool]:
    """The last of a list, or a set of the same names in another order."""
    return lambda value: {name.strip() for name in value.split(",")} >= set(wanted.split(","))


CONNECTION_TIMEOUT_S: Final = 600
"""How long a plugged-in station waits for a start. The driver has 300 s to answer, and V2G-26 wants the start
before 70 % of this time."""
