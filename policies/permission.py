"""Rules of the question at plug-in: when to ask, what an answer, a slot or a silence means.

Requirements P3-P10, V2G-28, V2G-29.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from csms.domain.conditions import Conditions, SlotMode, slot_at, slot_edges, slot_ends_at, slot_span
from csms.domain.permission import Channel, Permission, PermissionState, PlugIn
from csms.domain.snapshot import Terms, Use

_AFTER_SILENCE = {"charge": Use.PLAIN, "nothing": Use.NOTHING}
_OPEN = frozenset({PermissionState.ASKED, PermissionState.EXPIRED})
"""Who was asked and has not answered."""


def on_plug_in(
    plug_in: PlugIn,
    conditions: Conditions | None,
    now: datetime,
    timeout_s: float,
    pattern: str | None = None,
    *,
    slots_answer: bool = True,
) -> Permission:
    """The permission a plug-in begins with. ``conditions``: those the user keeps, None = none yet; ``pattern``: the
    name they are kept under.

    No user yet: UNASKED, and it lapses like a question, so that nobody is held for ever. Inside a permitted time slot:
    GRANTED without a question (P9), unless ``slots_answer`` is off: whose plug-in it is was guessed. Else ASKED.
    """
    expires_at = now + timedelta(seconds=timeout_s)
    if plug_in.user is None:
        return Permission(expires_at=expires_at)
    asked = Permission(
        state=PermissionState.ASKED, asked_at=now, expires_at=expires_at, conditions=conditions, pattern=pattern
    )
    if conditions is None:
        return asked
    asked = replace(asked, departure_at=_departure(conditions, plug_in.plugged_at, now))
    begun = by_slot(asked, plug_in.plugged_at, now) if slots_answer else asked
    return asked if begun is asked else replace(begun, asked_at=None, expires_at=None)


def by_slot(permission: Permission, plugged_at: datetime, now: datetime) -> Permission:
    """A permitted time slot that is open answers the open question, also one that has lapsed; never against a no (P9).
    Else the same object."""
    conditions = permission.conditions
    if permission.state not in _OPEN or conditions is None or slot_span(conditions.slots, now) is None:
        return permission
    return answered(permission, True, conditions, plugged_at, now, Channel.SLOT)


def answered(
    permission: Permission,
    granted: bool,  # noqa: FBT001
    conditions: Conditions | None,
    plugged_at: datetime,
    now: datetime,
    channel: Channel,
) -> Permission:
    """The permission after a yes or a no; also a late one, or a change of mind. ``conditions`` None = the user has
    never stated any: then a no leaves no required charge either."""
    return replace(
        permission,
        state=PermissionState.GRANTED if granted else PermissionState.REFUSED,
        answered_at=now,
        channel=channel,
        conditions=conditions,
        departure_at=_departure(conditions, plugged_at, now) if conditions else None,
        revised_at=None,
    )


def revised(
    permission: Permission, conditions: Conditions, pattern: str, plugged_at: datetime, now: datetime
) -> Permission:
    """Other conditions from now on, without another answer. What held before is not changed by it."""
    return replace(
        permission,
        conditions=conditions,
        pattern=pattern,
        departure_at=_departure(conditions, plugged_at, now),
        revised_at=now,
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
    """The conditions resolved for one plug-in, for every use.

    Without a yes only the required charge is left of them (P7). With one they hold outside the permitted time slots too
    but for the discharge; within a slot its mode holds (P9).
    """
    conditions = permission.conditions
    if conditions is None:
        return Terms(discharge=False)
    required = _required(conditions, permission.departure_at, capacity_wh)
    if permission.state is not PermissionState.GRANTED:
        return required
    slot = slot_at(conditions.slots, now)
    mode = slot.mode if slot else SlotMode.CONDITIONS
    return replace(
        required,
        min_sell_per_kwh=conditions.min_sell_per_kwh,
        max_buy_per_kwh=conditions.max_buy_per_kwh,
        min_incentive_per_kwh=conditions.min_incentive_per_kwh,
        entrust=mode is SlotMode.ENTRUST or (mode is SlotMode.CONDITIONS and conditions.entrust),
        charge=conditions.charge or mode is not SlotMode.CONDITIONS,
        discharge=conditions.discharge and mode is not SlotMode.CHARGE_ONLY and conditions.allows(now),
        permitted_until=slot_ends_at(conditions.slots, now),
    )


def _required(conditions: Conditions, departure_at: datetime | None, capacity_wh: int) -> Terms:
    """The required charge alone: by added energy where the user said kWh, else by content."""
    if conditions.required_kwh is not None:
        return Terms(
            required_added_wh=float(conditions.required_kwh) * 1000, departure_at=departure_at, discharge=False
        )
    required_wh = capacity_wh * conditions.required_soc_percent / 100
    return Terms(required_wh=required_wh, departure_at=departure_at, discharge=False)


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
    reached_at = _reached_at(permission)
    if reached_at is None or permission.revised_at is None:
        return reached_at
    return max(reached_at, permission.revised_at)


def _reached_at(permission: Permission) -> datetime | None:
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
