"""Who waits before the door, and who calls: bounds that no socket is needed for. C4, V2G-43."""

from dataclasses import dataclass, field

import pytest

from csms.edge.doors import Doors
from csms.edge.handshake import identity_of


@dataclass(eq=False)
class Visitor:
    """A connection that notes whether it was turned away."""

    source: str
    dropped: list["Visitor"] = field(default_factory=list)

    def drop(self) -> None:
        self.dropped.append(self)


def test_c4_over_the_bound_in_all_the_oldest_of_the_largest_crowd_goes() -> None:
    """Neither who came alone nor who comes now."""
    doors, dropped = Doors(per_source=9, in_all=3, connections=99), list[Visitor]()
    alone, first, second = (Visitor(source, dropped) for source in ("a", "b", "b"))
    for visitor in (alone, first, second):
        doors.arrived(visitor)
    assert dropped == []
    doors.arrived(Visitor("c", dropped))
    assert dropped == [first]


def test_c4_who_was_let_in_or_has_left_makes_room_before_the_door() -> None:
    doors, dropped = Doors(per_source=9, in_all=2, connections=99), list[Visitor]()
    visitors = [Visitor(source, dropped) for source in "abcde"]
    doors.arrived(visitors[0])
    doors.arrived(visitors[1])
    doors.let_in(visitors[0])
    doors.left(visitors[1])
    doors.arrived(visitors[2])
    doors.arrived(visitors[3])
    assert dropped == []
    doors.arrived(visitors[4])
    assert len(dropped) == 1


@pytest.mark.parametrize(("length", "is_one"), [(1, True), (48, True), (49, False), (0, False)])
def test_v2g_43_an_identity_has_48_characters_at_most(length: int, is_one: bool) -> None:
    """2.x part 4 §3.1.1. What is longer would be a key of every table."""
    assert (identity_of("/ocpp/" + "x" * length) is not None) is is_one
