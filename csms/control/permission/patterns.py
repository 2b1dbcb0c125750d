"""The prepared patterns of conditions, and which of a user's own is used. P10; names are catalogue keys of the page."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import time

from csms.domain.conditions import Conditions, Pattern
from csms.domain.errors import BadRequest, NotFound
from csms.domain.ids import VehicleId

MINE = "mine"
"""The name under which conditions are kept that the user gave none."""

PREPARED: tuple[Pattern, ...] = (
    Pattern(name="commuter", prepared=True, conditions=Conditions(required_soc_percent=70.0, depart_at=time(7, 30))),
    Pattern(name="entrust", prepared=True, conditions=Conditions(required_soc_percent=50.0, entrust=True)),
    Pattern(name="always-80", prepared=True, conditions=Conditions(required_soc_percent=80.0)),
)
_PREPARED = {pattern.name: pattern for pattern in PREPARED}


def used(own: Sequence[Pattern], vehicle: VehicleId | None) -> Pattern | None:
    """What is used at a plug-in of this vehicle: what was chosen for it, else for all, else what is kept as "mine"."""
    for whose in dict.fromkeys((vehicle, None)):
        theirs = [pattern for pattern in own if pattern.vehicle == whose]
        found = next((pattern for pattern in theirs if pattern.chosen), None)
        found = found or next((pattern for pattern in theirs if pattern.name == MINE), None)
        if found is not None:
            return found
    return None


def named(own: Sequence[Pattern], name: str, vehicle: VehicleId | None) -> Pattern:
    """A pattern by its name: the vehicle's, the user's, or a prepared one. Raises NotFound."""
    for whose in dict.fromkeys((vehicle, None)):
        if found := next((each for each in own if (each.name, each.vehicle) == (name, whose)), None):
            return found
    if name not in _PREPARED:
        raise NotFound(f"there is no pattern {name}", field="pattern")
    return _PREPARED[name]


def binds(pattern: Pattern, own: Sequence[Pattern], vehicle: VehicleId | None, name: str | None) -> bool:
    """Whether a pattern that is saved holds for what runs with this vehicle under this name: not one for all vehicles
    where the name means this vehicle's own."""
    if pattern.vehicle not in {None, vehicle}:
        return False
    return pattern.chosen or (name == pattern.name and named((pattern, *own), name, vehicle).vehicle == pattern.vehicle)


def offered(own: Sequence[Pattern]) -> tuple[Pattern, ...]:
    """The user's own and the prepared ones; a prepared one that is chosen is named once."""
    taken = {pattern.name for pattern in own if pattern.vehicle is None}
    return (*own, *(pattern for pattern in PREPARED if pattern.name not in taken))


def checked(pattern: Pattern) -> Pattern:
    """A pattern to be stored. BadRequest: other conditions under the name of a prepared one."""
    prepared = _PREPARED.get(pattern.name)
    if prepared is None:
        return replace(pattern, prepared=False)
    if prepared.conditions != pattern.conditions:
        raise BadRequest(f"{pattern.name} is a prepared pattern; give yours another name", field="name")
    return replace(pattern, prepared=True)
