"""What events and probes commanded over a time, at which frozen price, and what each of them gets of what came of it.

P5, P11, P19; findings A4, A5, A12. What is owed for it: see ``payment``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import groupby, pairwise

from csms.domain.decision import Reason
from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import DrEventId
from csms.domain.permission import Permission
from policies.in_force import InForce, hours_between
from policies.permission import conditions_at
from policies.unconfirmed import Possible, Unconfirmed, inside

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one of several events commanded of a time, >= 0 in its direction, at its frozen price."""

    event: DrEventId
    price_per_kwh: Decimal
    commanded_wh: Decimal


@dataclass(frozen=True, slots=True)
class Won:
    """What one event gets of what was delivered: all of it, and the part of it that was fed in."""

    event: DrEventId
    price_per_kwh: Decimal
    within_wh: Decimal
    sold_wh: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What an event, or a probe (``event`` None), commanded at one EVSE over a time, at one price.

    ``price_per_kwh``: the frozen one of the setpoints in force. ``counterfactual_wh`` and ``commanded_wh`` over that
    time; the latter is the difference that was commanded, >= 0 in the event's direction; ``fed_in_wh``: the discharge
    that was commanded, >= 0. ``setpoints``: their ids.
    ``claims``: where events share it, what each commanded, from the first watt that was moved to the last; ``event`` is
    then the most important one.
    """

    event: DrEventId | None
    direction: Direction
    price_per_kwh: Decimal
    counterfactual_wh: Decimal
    commanded_wh: Decimal
    fed_in_wh: Decimal
    setpoints: tuple[str, ...]
    has_lapsed: bool = False
    claims: tuple[Claim, ...] = ()

    def won(self, net_wh: Decimal, export_wh: Decimal) -> tuple[Won, ...]:
        """What each event gets, every Wh one of them: what was fed in is theirs who were to discharge, the last watts
        first (P5), the rest in the order in which it was moved. What was fed in although nobody was to discharge is
        none of theirs: see ``unconfirmed``. () for a probe."""
        if self.event is None:
            return ()
        claims = self.claims or (Claim(self.event, self.price_per_kwh, self.commanded_wh),)
        within_wh = self.within_wh(net_wh)
        sold_wh = min(export_wh, within_wh, self.fed_in_wh) if self.direction is Direction.DOWN else _NOTHING
        sold = reversed(_filled([claim.commanded_wh for claim in reversed(claims)], sold_wh))
        pairs = list(zip(claims, sold, strict=True))
        rest = _filled([claim.commanded_wh - fed for claim, fed in pairs], within_wh - sold_wh)
        found: dict[DrEventId, Won] = {}
        for (claim, fed_wh), more_wh in zip(pairs, rest, strict=True):
            had = found.get(claim.event, Won(claim.event, claim.price_per_kwh, _NOTHING, _NOTHING))
            found[claim.event] = replace(had, within_wh=had.within_wh + fed_wh + more_wh, sold_wh=had.sold_wh + fed_wh)
        return tuple(found.values())

    def delivered_wh(self, net_wh: Decimal) -> Decimal:
        """Metered difference to the counterfactual, in the event's direction; may be negative. A setpoint that has
        lapsed commands nothing: what flows against the event then is taken off, nothing is added."""
        difference = self.counterfactual_wh - net_wh
        delivered = difference if self.direction is Direction.DOWN else -difference
        return min(delivered, _NOTHING) if self.has_lapsed else delivered

    def within_wh(self, net_wh: Decimal) -> Decimal:
        """The part of the difference that was commanded: what is paid."""
        return min(max(self.delivered_wh(net_wh), _NOTHING), self.commanded_wh)


def _filled(sizes: Sequence[Decimal], total: Decimal) -> list[Decimal]:
    """``total`` into vessels, one after the other."""
    found: list[Decimal] = []
    for size in sizes:
        found.append(min(size, total))
        total -= found[-1]
    return found


Key = tuple[tuple[DrEventId | None, Decimal], ...]
"""Events (None = a probe) and frozen prices of what was commanded, the most important event first, then all that share
it in the order in which they move it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariffs:
    """What prices follow from in a stretch of time. ``events``: by id, any time. ``history``: of the user's permission,
    see ``permission.stretches``; the conditions of a setpoint are those that held when it was decided."""

    tariff_per_kwh: Decimal
    events: Mapping[DrEventId, DrEvent]
    history: Sequence[Permission] = ()

    def key(self, record: SetpointRecord) -> Key | None:
        """None where a setpoint is neither an event's nor a probe's: the tariff holds."""
        if Reason.PROBE in record.reasons:
            return ((None, self.least_sell(record)),)
        event = self.events.get(record.event) if record.event else None
        if event is None:
            return None
        # Stored before prices were frozen: the event's own, by the tariff of that time.
        frozen = event.unit_price(self.tariff_per_kwh) if record.price_per_kwh is None else record.price_per_kwh
        return ((event.id, frozen), *((part.event, part.price_per_kwh) for part in record.parts))

    def least_sell(self, record: SetpointRecord) -> Decimal:
        """What a kWh that a setpoint of ours discharges is worth at least: what its user asks, never more than the
        setpoint promised for its last watts, which are the discharge; and the tariff (P5)."""
        conditions = conditions_at(self.history, record.decided_at)
        asked = conditions.least_sell_per_kwh(self.tariff_per_kwh) if conditions else None
        promised = record.parts[-1].price_per_kwh if record.parts else record.price_per_kwh
        if asked is not None and promised is not None:
            asked = min(asked, promised)
        return max(self.tariff_per_kwh, asked or _NOTHING)


@dataclass(frozen=True, slots=True)
class Run:
    """[start, end) with the same event and frozen price in all of it; ``command`` None: neither event nor probe.
    ``unconfirmed``: what setpoints of ours may have discharged beyond that; None = nothing above the tariff."""

    start: datetime
    end: datetime
    command: Command | None
    unconfirmed: Unconfirmed | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """[start, end) with the same setpoint in force, or none, and the same that may have been followed."""

    start: datetime
    end: datetime
    held: InForce | None
    possible: tuple[Possible, ...]

    @property
    def hours(self) -> Decimal:
        return hours_between(self.start, self.end)


def runs(
    spans: Sequence[InForce], start: datetime, end: datetime, tariffs: Tariffs, possible: Sequence[Possible] = ()
) -> Iterator[Run]:
    """[start, end) in stretches of the same event and frozen price, each with what was commanded in it; where nothing
    was commanded, cut also where a discharge begins or ends to be possible."""
    parts = [part for span in spans if (part := span.within(start, end)).start < part.end]

    def key_of(cell: Cell) -> tuple[tuple[Key, bool] | None, Decimal | None]:
        key = tariffs.key(cell.held.record) if cell.held else None
        command = None if key is None or cell.held is None else (key, cell.held.has_lapsed)
        is_commanded = command is not None and not command[1]
        return command, None if is_commanded else _unconfirmed_price([cell], tariffs)

    for (key, _), group in groupby(_cells(parts, inside(possible, start, end), start, end), key=key_of):
        alike = list(group)
        first, last = alike[0].start, alike[-1].end
        held = [part.within(first, last) for part in parts if part.start < last and first < part.end]
        command = None if key is None else _command(key, held, tariffs)
        yield Run(first, last, command, _unconfirmed(alike, command, tariffs))


def _cells(parts: Sequence[InForce], possible: Sequence[Possible], start: datetime, end: datetime) -> Iterator[Cell]:
    held_edges = (edge for part in parts for edge in (part.start, part.end))
    possible_edges = (edge for each in possible for edge in (each.start, each.end))
    edges = {start, end, *held_edges, *possible_edges}
    for first, last in pairwise(sorted(edges)):
        held = next((part for part in parts if part.start <= first and last <= part.end), None)
        yield Cell(first, last, held, tuple(each for each in possible if each.covers(first, last)))


def _unconfirmed_price(cells: Sequence[Cell], tariffs: Tariffs) -> Decimal | None:
    """The most that is asked for what may have been discharged; None where that is not above the tariff."""
    asked = max((tariffs.least_sell(each.record) for cell in cells for each in cell.possible), default=_NOTHING)
    return asked if asked > tariffs.tariff_per_kwh else None


def _unconfirmed(cells: Sequence[Cell], command: Command | None, tariffs: Tariffs) -> Unconfirmed | None:
    """What the setpoints that may have been followed asked for beyond the one in force."""
    beyond = {cell: watts for cell in cells if (watts := _beyond_w(cell, command)) > 0}
    price = _unconfirmed_price(list(beyond), tariffs)
    if price is None:
        return None
    return Unconfirmed(
        energy_wh=sum((watts * cell.hours for cell, watts in beyond.items()), _NOTHING),
        price_per_kwh=price,
        setpoints=tuple(dict.fromkeys(each.record.id for cell in beyond for each in cell.possible)),
    )


def _beyond_w(cell: Cell, command: Command | None) -> int:
    commanded_w = -cell.held.commanded_w if cell.held and command and not command.has_lapsed else 0
    return max((each.power_w for each in cell.possible), default=0) - max(commanded_w, 0)


def _command(key: tuple[Key, bool], held: Sequence[InForce], tariffs: Tariffs) -> Command:
    ((event, price), *shared), has_lapsed = key
    direction = tariffs.events[event].direction if event else Direction.DOWN
    sign = 1 if direction is Direction.DOWN else -1
    moved_w = [max(sign * (part.record.counterfactual_w - part.commanded_w), 0) for part in held]
    moved = list(zip(held, moved_w, strict=True))
    return Command(
        event=event,
        direction=direction,
        price_per_kwh=price,
        counterfactual_wh=sum((part.record.counterfactual_w * part.hours for part in held), _NOTHING),
        commanded_wh=sum((power * part.hours for part, power in moved), _NOTHING),
        fed_in_wh=sum((max(-part.commanded_w, 0) * part.hours for part in held), _NOTHING),
        setpoints=tuple(part.record.id for part in held),
        has_lapsed=has_lapsed,
        claims=tuple(
            Claim(name, each, sum((_own_w(part.record, power)[at] * part.hours for part, power in moved), _NOTHING))
            for at, (name, each) in enumerate(shared)
            if name is not None
        ),
    )


def _own_w(record: SetpointRecord, moved_w: int) -> list[int]:
    """W of each part of a setpoint that moved this much in all: a counterfactual that turned out lower takes from the
    first watts."""
    less_w = sum(part.power_w for part in record.parts) - moved_w
    found: list[int] = []
    for part in record.parts:
        found.append(max(0, part.power_w - less_w))
        less_w = max(0, less_w - part.power_w)
    return found
