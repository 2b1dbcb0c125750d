"""What a settled interval earns besides its price: asked of the plugs, checked, held against what is granted. G6, G8.

A benefit follows from metered energy that an event moved at a vehicle under its user's yes, never from a promise.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice

from csms.domain.benefit import BenefitGrant
from csms.domain.ids import DrEventId, EvseRef, PlugInId, UserId
from csms.domain.metering import Quality
from policies.flows import Flow
from policies.plugs import Benefits, Grant, Plug, SettledInterval
from policies.registers import Span

MOST = 100_000
"""Of one plug in one unit for one settled interval: more is a slip of the plug."""
MOST_GRANTS = 20
COUPON = re.compile(r"coupon:[a-z0-9][a-z0-9-]{0,39}")


class BadGrant(ValueError):
    """What a plug returned cannot be granted. The text says why."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A plug that granted nothing for an interval because of what it returned or raised."""

    plug: str
    settled: SettledInterval
    why: str


@dataclass(frozen=True, slots=True)
class Key:
    """One plug's part of one settled interval in one unit."""

    plug_in: PlugInId
    start: datetime
    event: DrEventId | None
    plug: str
    unit: str

    @property
    def cause(self) -> str:
        return f"{self.plug_in}:{self.start.astimezone(UTC).isoformat()}:{self.event}:{self.plug}:{self.unit}"


def settled_intervals(flows: Sequence[Flow], interval: Span, currency: str) -> tuple[SettledInterval, ...]:
    """What each plug-in moved for each event at each price, where it moved anything: metered, at most as commanded; of
    what events shared, each its own."""
    moved: dict[tuple[PlugInId, UserId, EvseRef, DrEventId, Decimal, str], Decimal] = {}
    for flow in flows:
        user, command = flow.plug_in.user, flow.command
        if user is None or command is None or flow.energy.quality is Quality.MISSING:
            continue
        for won in command.won(flow.energy.net_wh, flow.energy.export_wh):
            money = flow.currency or currency
            key = (flow.plug_in.id, user, flow.plug_in.evse, won.event, won.price_per_kwh, money)
            moved[key] = moved.get(key, Decimal(0)) + won.within_wh
    return tuple(
        SettledInterval(
            evse=evse,
            plug_in=plug_in,
            user=user,
            event=event,
            start=interval.start,
            end=interval.end,
            moved_wh=int(energy_wh),
            price_per_kwh=price,
            currency=money,
        )
        for (plug_in, user, evse, event, price, money), energy_wh in moved.items()
        if energy_wh >= 1
    )


def benefit_grants(
    settled: Sequence[SettledInterval],
    granted: Mapping[str, Sequence[BenefitGrant]],
    plugs: Sequence[Plug[Benefits]],
    now: datetime,
) -> tuple[tuple[BenefitGrant, ...], tuple[Failed, ...]]:
    """The grants that make what is granted right, and the plugs that failed; nothing where it is right already.

    ``settled``: all of one market interval. ``granted``: what is granted for it, by cause, in order. A plug that fails,
    or that is not asked any more, leaves what it has granted, unless nothing was moved after all.
    """
    due, failed = _due(settled, plugs)
    moved = {(each.plug_in, each.event) for each in settled}
    judged = {plug.id for plug in plugs} - {each.plug for each in failed}
    found: list[BenefitGrant] = []
    for key, (each, amount) in due.items():
        found += _right(key.cause, amount, each, key, granted.get(key.cause, ()), now)
    causes = {key.cause for key in due}
    for cause, before in granted.items():
        is_judged = before[-1].plug in judged or (before[-1].plug_in, before[-1].event) not in moved
        if cause not in causes and is_judged:
            found += _taken_back(before, len(before), now)
    return tuple(found), failed


def _due(
    settled: Sequence[SettledInterval], plugs: Sequence[Plug[Benefits]]
) -> tuple[dict[Key, tuple[SettledInterval, int]], tuple[Failed, ...]]:
    due: dict[Key, tuple[SettledInterval, int]] = {}
    failed: list[Failed] = []
    for plug in plugs:
        for each in settled:
            try:
                amounts = _asked(plug, each)
            except Exception as error:
                failed.append(Failed(plug.id, each, f"{type(error).__name__}: {error}"))
                continue
            for unit, amount in amounts.items():
                key = Key(each.plug_in, each.start, each.event, plug.id, unit)
                due[key] = (each, due.get(key, (each, 0))[1] + amount)
    return due, tuple(failed)


def _asked(plug: Plug[Benefits], settled: SettledInterval) -> dict[str, int]:
    """Unit -> amount > 0. Raises whatever the plug raises, and BadGrant."""
    amounts: dict[str, int] = {}
    grants = tuple(islice(plug.run(settled), MOST_GRANTS + 1))
    if len(grants) > MOST_GRANTS:
        raise BadGrant(f"more than {MOST_GRANTS} grants for one interval")
    for grant in grants:
        _check(grant, settled)
        amounts[grant.unit] = amounts.get(grant.unit, 0) + grant.amount
    if any(amount > MOST for amount in amounts.values()):
        raise BadGrant(f"more than {MOST} in one interval")
    return {unit: amount for unit, amount in amounts.items() if amount > 0}


def _check(grant: object, settled: SettledInterval) -> None:
    if not isinstance(grant, Grant):
        raise BadGrant(f"{grant!r:.80} is no Grant")
    if type(grant.amount) is not int or not 0 <= grant.amount <= MOST:
        raise BadGrant(f"amount {grant.amount!r:.40} is no whole number from 0 to {MOST}")
    if not isinstance(grant.unit, str) or not is_unit(grant.unit, settled.currency):
        raise BadGrant(f"unit {grant.unit!r:.60} is none of points, coupon:<kind>, {settled.currency}")
    if grant.user is not None and grant.user != settled.user:
        raise BadGrant(f"user {grant.user!r:.60} did not take part in it")


def is_unit(unit: str, currency: str) -> bool:
    """Points, a kind of coupon, or money in the minor units of the settlement's currency."""
    return unit in {"points", currency} or COUPON.fullmatch(unit) is not None


def _right(
    cause: str, amount: int, settled: SettledInterval, key: Key, before: Sequence[BenefitGrant], now: datetime
) -> Iterable[BenefitGrant]:
    """The difference to what was granted, after what was granted to another than its user is taken back (S2)."""
    back = tuple(_taken_back([each for each in before if each.user != settled.user], len(before), now))
    yield from back
    change = amount - sum(each.amount for each in before if each.user == settled.user)
    if change == 0:
        return
    yield BenefitGrant(
        cause=cause,
        revision=len(before) + len(back),
        granted_at=now,
        user=settled.user,
        plug_in=settled.plug_in,
        evse=settled.evse,
        event=settled.event,
        plug=key.plug,
        unit=key.unit,
        amount=change,
        moved_wh=settled.moved_wh,
        period_start=settled.start,
        period_end=settled.end,
    )


def _taken_back(before: Sequence[BenefitGrant], revision: int, now: datetime) -> Iterable[BenefitGrant]:
    """What brings each user's grants of one cause to zero; ``revision``: the first that is free."""
    for user in dict.fromkeys(each.user for each in before):
        theirs = [each for each in before if each.user == user]
        if amount := sum(each.amount for each in theirs):
            yield theirs[-1].corrected(revision=revision, amount=-amount, at=now)
            revision += 1


def in_force(plugs: Iterable[Plug[Benefits]], since: Mapping[str, datetime], start: datetime) -> list[Plug[Benefits]]:
    """The plugs that were chosen when an interval began: a new one never reaches back."""
    return [plug for plug in plugs if (known := since.get(plug.id)) is not None and known <= start]
