"""Rules of the question at plug-in: when to ask, what an answer, a slot or a silence means.

Requirements P3-P10, V2G-28, V2G-29.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from csms.domain.conditions import Conditions, slot_edges, slot_span
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
    span, in_kwh = slot_span(conditions.slots, now), conditions.required_kwh
    return Terms(
        min_sell_per_kwh=conditions.min_sell_per_kwh,
        max_buy_per_kwh=conditions.max_buy_per_kwh,
        required_wh=0.0 if in_kwh is not None else capacity_wh * conditions.required_soc_percent / 100,
        required_added_wh=0.0 if in_kwh is None else float(in_kwh) * 1000,
        departure_at=permission.departure_at,
        entrust=conditions.entrust,
        charge=conditions.charge,
        discharge=conditions.discharge and permission.state is PermissionState.GRANTED,
        permitted_until=span[1] if span else None,
    )


@dataclass(frozen=True, slots=True)
class Stretch:
    """[start, end): all of it permitted, or none of it."""

    start: datetime
    end: datetime
    permitted: bool


def stretches(history: Sequence[Permission], start: datetime, end: datetime) -> tuple[Stretch, ...]:
    """[start, end) by what held at the time: cut where a yes or a no came and where a permitted time slot began or
    ended (P4, P9). A later answer changes nothing of what came before it.

    ``history``: every state of one plug-in's permission, in the order in which they were stored. Of the states that
    began before an instant the one stored last holds at it.
    """
    known = [(since, permission) for permission in history if (since := _holds_since(permission)) is not None]
    edges = {start, end, *(since for since, _ in known)}
    for _, permission in known:
        edges |= slot_edges(permission.conditions.slots, start, end) if permission.conditions else frozenset()
    inside = pairwise(sorted(edge for edge in edges if start <= edge <= end))
    pieces = [Stretch(first, last, _is_permitted(known, first)) for first, last in inside]
    alike = (list(group) for _, group in groupby(pieces, key=lambda piece: piece.permitted))
    return tuple(Stretch(group[0].start, group[-1].end, group[0].permitted) for group in alike)


def _holds_since(permission: Permission) -> datetime | None:
    match permission.state:
        case PermissionState.GRANTED | PermissionState.REFUSED:
            return permission.answered_at
        case PermissionState.ASKED:
            return permission.asked_at
        case PermissionState.EXPIRED:
            return permission.expires_at
        case _:
            return None


def _is_permitted(known: Sequence[tuple[datetime, Permission]], at: datetime) -> bool:
    permission = _at(known, at)
    if permission is None or permission.state is not PermissionState.GRANTED:
        return False
    return permission.conditions is not None and permission.conditions.allows(at)


def _at(known: Sequence[tuple[datetime, Permission]], at: datetime) -> Permission | None:
    return next((permission for since, permission in reversed(known) if since <= at), None)


def conditions_at(history: Sequence[Permission], at: datetime) -> Conditions | None:
    """The conditions that held at an instant; ``history``: see ``stretches``."""
    known = [(since, permission) for permission in history if (since := _holds_since(permission)) is not None]
    permission = _at(known, at)
    return None if permission is None else permission.conditions
