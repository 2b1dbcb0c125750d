"""What a vehicle was asked for a DR event and does not give is asked of others, never of itself. Design §4, V2G-9."""

from csms.domain.dr import Direction, DrEvent
from csms.domain.snapshot import EvseState
from policies.compliance import tolerance_w


def misses(evse: EvseState, event: DrEvent) -> bool:
    """Whether it was seen to do less for this event than it was asked, beyond the tolerance of the meter.

    An UP event's setpoint is a limit to the vehicle, and kept; but what it does not take does not come either.
    """
    served = evse.served
    if served is None or event.id not in (served.event, *served.also):
        return False
    return _moved_w(served.asked_w, served.given_w, event) > tolerance_w(served.asked_w)


def most_to_ask_w(evse: EvseState, power_w: int, event: DrEvent) -> int | None:
    """How far a vehicle that would be at ``power_w`` without the event may be moved for it, W >= 0: one that misses no
    further than it was asked already, so that its setpoint stays what it is judged by. None = as far as it offers."""
    if evse.served is None or not misses(evse, event):
        return None
    return max(0, _moved_w(evse.served.asked_w, power_w, event))


def missing_w(evse: EvseState, power_w: int, asked_w: int, event: DrEvent) -> int:
    """How much will not come, by what was seen, of moving a vehicle from ``power_w`` to ``asked_w`` for the event."""
    if evse.served is None or not misses(evse, event):
        return 0
    return max(0, _moved_w(asked_w, power_w, event) - given_w(evse, power_w, event))


def given_w(evse: EvseState, power_w: int, event: DrEvent) -> int:
    """W >= 0 that a vehicle was seen to move from ``power_w`` in the event's direction."""
    return 0 if evse.served is None else max(0, _moved_w(evse.served.given_w, power_w, event))


def _moved_w(to_w: int, from_w: int, event: DrEvent) -> int:
    """In the event's direction."""
    return to_w - from_w if event.direction is Direction.UP else from_w - to_w
