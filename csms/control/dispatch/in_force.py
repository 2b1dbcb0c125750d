"""What may be in force at an EVSE, by all it was told and has answered. A10."""

from datetime import datetime

from csms.control.dispatch.order import Span
from csms.control.dispatch.snapshots import failsafe_w
from csms.control.state.live import EvseLive, StationLive
from csms.control.state.records import Told
from csms.domain.dispatch import SetpointRecord, SetpointState


def span_of(station: StationLive, evse: EvseLive, now: datetime) -> Span:
    """The newest acknowledged setpoint and all that was sent since. The failsafe limit too, while none is known to
    hold: the station was never told, was away since, or the last setpoint has run out."""
    told = evse.told
    if evse.run.transaction is None:
        return Span()
    last = told.setpoint if told.setpoint and told.setpoint.transaction == evse.run.transaction else None
    known = told.in_force or ((last.desired_w, last.desired_w) if last else None)
    span = Span(*known) if known else Span()
    if last is None or told.in_force is None or told.is_doubtful or last.expires_at <= now:
        return span.with_power(0).with_power(failsafe_w(station, evse))
    return span


def bring_back(told: Told, record: SetpointRecord) -> None:
    """After a restart: any setpoint that has not run out may be in force, but one that was refused."""
    if record.state is SetpointState.REJECTED:
        return
    least_w, most_w = told.in_force or (record.desired_w, record.desired_w)
    told.in_force = min(least_w, record.desired_w), max(most_w, record.desired_w)
    told.in_force_until = max(told.in_force_until or record.expires_at, record.expires_at)
