"""Rules of the question at plug-in: when to ask, what an answer, a slot or a silence means.

Requirements P3-P10, V2G-28, V2G-29.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from csms.domain.conditions import Conditions, slot_span
from csms.domain.permission import Channel, Permission, PermissionState, PlugIn
from csms.domain.snapshot import Terms, Use

_AFTER_SILENCE = {"charge": Use.PLAIN, "nothing": Use.NOTHING}


def on_plug_in(plug_in: PlugIn, conditions: Conditions | None, now: datetime, timeout_s: float) -> Permission:
    """The permission a plug-in begins with. ``conditions``: those the user keeps, None = none yet.

    No user yet: UNASKED, and it lapses like a question, so that nobody is held for ever. Inside a permitted time slot:
    GRANTED without a question (P9). Else ASKED.
    """
    expires_at = now + timedelta(seconds=timeout_s)
    if plug_in.user is None:
        return Permission(expires_at=expires_at)
    if conditions is not None and slot_span(conditions.slots, now) is not None:
        asked = Permission(conditions=conditions)
        return answered(asked, True, conditions, plug_in.plugged_at, now, Channel.SLOT)
    return Permission(state=PermissionState.ASKED, asked_at=now, expires_at=expires_at, conditions=conditions)


def answered(
    permission: Permission,
    granted: bool,  # noqa: FBT001
    conditions: Conditions,
    plugged_at: datetime,
    now: datetime,
    channel: Channel,
) -> Permission:
    """The permission after a yes or a no; also a late one, or a change of mind."""
    return replace(
        permission,
        state=PermissionState.GRANTED if granted else PermissionState.REFUSED,
        answered_at=now,
        channel=channel,
        conditions=conditions,
        departure_at=_departure(conditions, plugged_at, now),
    )


def _departure(conditions: Conditions, plugged_at: datetime, now: datetime) -> datetime | None:
    """The first departure after the plug-in; when that has passed, the next one."""
    first = conditions.departure_after(plugged_at)
    return first if first is None or first > now else conditions.departure_after(now)


def lapsed(permission: Permission, now: datetime) -> Permission:
    """EXPIRED once a question's time is over; else the same object."""
    if permission.state is not PermissionState.ASKED or not _is_over(permission, now):
        return permission
    return replace(permission, state=PermissionState.EXPIRED, channel=Channel.TIMEOUT)


def _is_over(permission: Permission, now: datetime) -> bool:
    return permission.expires_at is None or now >= permission.expires_at


def use_of(permission: Permission, now: datetime, *, in_transaction: bool, on_refusal: str, on_no_answer: str) -> Use:
    """What may be done with the vehicle now. ``on_refusal`` and ``on_no_answer`` are "charge" or "nothing" (P4)."""
    if not in_transaction:
        return Use.IDLE
    match permission.state:
        case PermissionState.GRANTED:
            is_allowed = permission.conditions is not None and permission.conditions.allows(now)
            return Use.RESOURCE if is_allowed else Use.PLAIN
        case PermissionState.REFUSED:
            return _AFTER_SILENCE[on_refusal]
        case PermissionState.EXPIRED:
            return _AFTER_SILENCE[on_no_answer]
        case _:
            return _AFTER_SILENCE[on_no_answer] if _is_over(permission, now) else Use.HELD


def terms_of(permission: Permission, capacity_wh: int, now: datetime) -> Terms:
    """The conditions resolved for one plug-in. Without a yes they never allow discharge."""
    conditions = permission.conditions
    if conditions is None:
        return Terms(discharge=False)
    span = slot_span(conditions.slots, now)
    return Terms(
        min_sell_per_kwh=conditions.min_sell_per_kwh,
        max_buy_per_kwh=conditions.max_buy_per_kwh,
        required_wh=capacity_wh * conditions.required_soc_percent / 100,
        departure_at=permission.departure_at,
        entrust=conditions.entrust,
        charge=conditions.charge,
        discharge=conditions.discharge and permission.state is PermissionState.GRANTED,
        permitted_until=span[1] if span else None,
    )
