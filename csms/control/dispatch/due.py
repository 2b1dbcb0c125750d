"""When a station is told a setpoint: news at once, the same again before it ends, after a no ever more rarely."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from csms.control.state.records import Told
from csms.domain.decision import Parts, Setpoint
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.ids import TransactionId
from csms.domain.station import SetpointDriver
from csms.settings import Dispatch as DispatchSettings

WORTH_SENDING_W = 50
WORTH_SENDING_SHARE = 0.1
"""Of a counterfactual that falls little by little, as a battery fills up."""
RETRY_AFTER = timedelta(seconds=5)
RETRY_AT_MOST = timedelta(minutes=15)
_UNDONE = frozenset({SetpointState.REJECTED, SetpointState.UNANSWERED})


@dataclass(frozen=True, slots=True)
class Moment:
    """One EVSE at one tick. ``is_tight``: every watt counts at its fuses, so that no dead band may stay (A10)."""

    now: datetime
    driver: SetpointDriver
    is_tight: bool
    settings: DispatchSettings


def is_due(told: Told, setpoint: Setpoint, transaction: TransactionId | None, moment: Moment) -> bool:
    """Whether the station must be told."""
    last = told.setpoint
    if last is None or told.is_doubtful or last.transaction != transaction or last.driver is not moment.driver:
        return True
    if is_new(last, setpoint) or (moment.is_tight and is_less(last, setpoint)):
        return True
    if last.state in _UNDONE:
        return _since_sent(told, moment) >= retry_after(told.undone, moment.settings)
    return _ends_otherwise(last, setpoint, moment) or _would_be_otherwise(told, last, setpoint, moment)


def _would_be_otherwise(told: Told, last: SetpointRecord, setpoint: Setpoint, moment: Moment) -> bool:
    """Without the event another power would flow than its setpoint says: reports and money read it there (A12)."""
    apart_w = abs(last.counterfactual_w - setpoint.counterfactual_w)
    is_moved = apart_w >= max(WORTH_SENDING_W, WORTH_SENDING_SHARE * abs(last.counterfactual_w))
    return setpoint.event is not None and is_moved and may_grow(told, moment)


def may_grow(told: Told, moment: Moment) -> bool:
    """``min_change_s`` spares stations: it delays what takes more, and nothing else."""
    return _since_sent(told, moment) >= timedelta(seconds=moment.settings.min_change_s)


def retry_after(undone: int, settings: DispatchSettings) -> timedelta:
    """After a no, or no answer: from the third on twice as long each time (F12)."""
    first = max(RETRY_AFTER, timedelta(seconds=settings.min_change_s))
    doubled: int = 2 ** min(max(undone - 2, 0), 10)
    return min(first * doubled, max(RETRY_AT_MOST, first))


def _since_sent(told: Told, moment: Moment) -> timedelta:
    return timedelta.max if told.sent_at is None else moment.now - told.sent_at


def _ends_otherwise(last: SetpointRecord, setpoint: Setpoint, moment: Moment) -> bool:
    """It has run half its time, or is to end earlier than it was told."""
    if setpoint.expires_at < last.expires_at:
        return True
    ends_soon = last.expires_at - moment.now < timedelta(seconds=moment.settings.setpoint_validity_s / 2)
    return ends_soon and setpoint.expires_at > last.expires_at


def is_new(last: SetpointRecord, setpoint: Setpoint) -> bool:
    """For other events, at other prices, or another power that is worth a message."""
    if last.event != setpoint.event or last.price_per_kwh != setpoint.price_per_kwh:
        return True
    if _is_shared_otherwise(last.parts, setpoint.parts):
        return True
    return abs(last.desired_w - setpoint.setpoint_w) >= WORTH_SENDING_W


def _is_shared_otherwise(last: Parts, parts: Parts) -> bool:
    """By other events, at other prices, or by shares that differ: reports and money read them there (P19)."""
    if [(part.event, part.price_per_kwh) for part in last] != [(part.event, part.price_per_kwh) for part in parts]:
        return True
    return any(abs(a.power_w - b.power_w) >= WORTH_SENDING_W for a, b in zip(last, parts, strict=True))


def is_less(last: SetpointRecord, setpoint: Setpoint) -> bool:
    """Nearer to 0: it makes room, however little."""
    return abs(setpoint.setpoint_w) < abs(last.desired_w)
