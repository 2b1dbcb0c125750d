"""What stations are asked to sample. Short lists: one station overwrites other settings above ~128 characters,
others cut the list (field lessons §8d)."""

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

CONNECTION_TIMEOUT_S: Final = 600
"""How long a plugged-in station waits for a start. The driver has 300 s to answer, and V2G-26 wants the start
before 70 % of this time."""
