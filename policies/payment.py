"""What is owed for the energy of one flow: the rule "metered-difference-1". P13, P19; findings A4, A5, A12.

Paid is the metered difference to the frozen counterfactual, at most what the setpoints in force commanded, at the price
that was frozen with them. A setpoint is in force from its acknowledgement until that of the next one, or its expiry:
what was never acknowledged commanded nothing, and what still flows after a cancellation flows under the old setpoint.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise
from types import MappingProxyType

from csms.domain.decision import Reason
from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import DrEventId, PlugInId
from csms.domain.ledger import EntryKind
from csms.domain.metering import WindowEnergy

RULE = "metered-difference-1"

_TICK = timedelta(microseconds=1)
_TICKS_PER_HOUR = Decimal(timedelta(hours=1) // _TICK)
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class InForce:
    """A setpoint during [start, end). ``has_lapsed``: it has run out within its event and nothing took its place, as at
    a station that is out of reach: it commands nothing, but what flows then is held against its counterfactual."""

    record: SetpointRecord
    start: datetime
    end: datetime
    has_lapsed: bool = False

    def within(self, start: datetime, end: datetime) -> "InForce":
        return replace(self, start=max(self.start, start), end=min(self.end, end))

    @property
    def commanded_w(self) -> int:
        return self.record.counterfactual_w if self.has_lapsed else self.record.desired_w

    @property
    def hours(self) -> Decimal:
        return Decimal((self.end - self.start) // _TICK) / _TICKS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What an event, or a probe (``event`` None), commanded at one EVSE over a time, at one price.

    ``price_per_kwh``: the frozen one of the setpoints in force. ``counterfactual_wh`` and ``commanded_wh`` over that
    time; the latter is the difference that was commanded, >= 0 in the event's direction. ``setpoints``: their ids.
    """

    event: DrEventId | None
    direction: Direction
    price_per_kwh: Decimal
    counterfactual_wh: Decimal
    commanded_wh: Decimal
    setpoints: tuple[str, ...]
    has_lapsed: bool = False

    def delivered_wh(self, net_wh: Decimal) -> Decimal:
        """Metered difference to the counterfactual, in the event's direction; may be negative. A setpoint that has
        lapsed commands nothing: what flows against the event then is taken off, nothing is added."""
        difference = self.counterfactual_wh - net_wh
        delivered = difference if self.direction is Direction.DOWN else -difference
        return min(delivered, _NOTHING) if self.has_lapsed else delivered

    def within_wh(self, net_wh: Decimal) -> Decimal:
        """The part of the difference that was commanded: what is paid."""
        return min(max(self.delivered_wh(net_wh), _NOTHING), self.commanded_wh)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A part of a flow's energy at one price. ``part``: its name among those of the flow."""

    kind: EntryKind
    part: str
    energy_wh: Decimal
    price_per_kwh: Decimal
    event: DrEventId | None = None


def in_force(
    records: Sequence[SetpointRecord], plug_in: PlugInId, events: Mapping[DrEventId, DrEvent] = MappingProxyType({})
) -> tuple[InForce, ...]:
    """The setpoints of one plug-in while they were in force, in order; times do not overlap. ``events``: those that the
    records name; a setpoint that runs out before its event does has lapsed for the rest of it."""
    told = [(at, record) for record in records if record.plug_in == plug_in and (at := record.acknowledged_at)]
    told.sort(key=lambda pair: (pair[0], pair[1].decided_at, pair[1].id))
    starts = [at for at, _ in told]
    ends = [*starts[1:], datetime.max.replace(tzinfo=starts[-1].tzinfo)] if starts else []
    spans = [
        span
        for (at, record), end in zip(told, ends, strict=True)
        for span in (InForce(record, at, min(end, record.expires_at)), _lapse(record, end, events))
        if span is not None and span.start < span.end
    ]
    return tuple(spans)


def _lapse(record: SetpointRecord, end: datetime, events: Mapping[DrEventId, DrEvent]) -> InForce | None:
    event = events.get(record.event) if record.event else None
    return None if event is None else InForce(record, record.expires_at, min(end, event.stops_at), has_lapsed=True)


Key = tuple[DrEventId | None, Decimal]
"""Event (None = a probe) and frozen price of what was commanded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariffs:
    """What prices follow from in a stretch of time. ``events``: by id, any time. ``min_sell_per_kwh``: the user's."""

    tariff_per_kwh: Decimal
    events: Mapping[DrEventId, DrEvent]
    min_sell_per_kwh: Decimal | None = None

    def key(self, record: SetpointRecord) -> Key | None:
        """None where a setpoint is neither an event's nor a probe's: the tariff holds."""
        if Reason.PROBE in record.reasons:
            return None, max(self.tariff_per_kwh, self.min_sell_per_kwh or _NOTHING)
        event = self.events.get(record.event) if record.event else None
        if event is None:
            return None
        # Stored before prices were frozen: the event's own, by the tariff of that time.
        frozen = event.unit_price(self.tariff_per_kwh) if record.price_per_kwh is None else record.price_per_kwh
        return event.id, frozen


@dataclass(frozen=True, slots=True)
class Run:
    """[start, end) with the same event and frozen price in all of it; ``command`` None: neither event nor probe."""

    start: datetime
    end: datetime
    command: Command | None


def runs(spans: Sequence[InForce], start: datetime, end: datetime, tariffs: Tariffs) -> Iterator[Run]:
    """[start, end) in stretches of the same event and frozen price, each with what was commanded in it."""
    inside = [part for span in spans if (part := span.within(start, end)).start < part.end]
    edges = sorted({start, end, *(part.start for part in inside), *(part.end for part in inside)})
    by_start = {part.start: part for part in inside}
    cells = [(first, last, by_start.get(first)) for first, last in pairwise(edges)]

    def key_of(cell: tuple[datetime, datetime, InForce | None]) -> tuple[Key, bool] | None:
        key = tariffs.key(cell[2].record) if cell[2] else None
        return None if key is None or cell[2] is None else (key, cell[2].has_lapsed)

    for key, group in groupby(cells, key=key_of):
        alike = list(group)
        held = [part for _, _, part in alike if part is not None]
        yield Run(alike[0][0], alike[-1][1], None if key is None else _command(key, held, tariffs))


def _command(key: tuple[Key, bool], held: Sequence[InForce], tariffs: Tariffs) -> Command:
    (event, price), has_lapsed = key
    direction = tariffs.events[event].direction if event else Direction.DOWN
    sign = 1 if direction is Direction.DOWN else -1
    differences = (max(sign * (part.record.counterfactual_w - part.commanded_w), 0) * part.hours for part in held)
    return Command(
        event=event,
        direction=direction,
        price_per_kwh=price,
        counterfactual_wh=sum((part.record.counterfactual_w * part.hours for part in held), _NOTHING),
        commanded_wh=sum(differences, _NOTHING),
        setpoints=tuple(part.record.id for part in held),
        has_lapsed=has_lapsed,
    )


def owed(energy: WindowEnergy, tariff_per_kwh: Decimal, command: Command | None) -> tuple[Owed, ...]:
    """What a user gets and pays for a flow. ``command`` None: no event, no probe, or no yes: all at the tariff."""
    sold, bought, rewarded = _NOTHING, _NOTHING, _NOTHING
    if command is not None and command.event is None:
        sold = energy.export_wh
    elif command is not None:
        within_wh = command.within_wh(energy.net_wh)
        if command.direction is Direction.DOWN:
            sold = min(energy.export_wh, within_wh)
            rewarded = within_wh - sold
        else:
            bought = min(energy.import_wh, within_wh)
    parts = [
        Owed(
            kind=EntryKind.SALE,
            part="sale",
            energy_wh=energy.export_wh - sold,
            price_per_kwh=tariff_per_kwh,
        ),
        Owed(
            kind=EntryKind.PURCHASE,
            part="purchase",
            energy_wh=energy.import_wh - bought,
            price_per_kwh=tariff_per_kwh,
        ),
    ]
    return (*parts, *(_commanded(command, sold, bought, rewarded, tariff_per_kwh) if command else ()))


def _commanded(
    command: Command, sold: Decimal, bought: Decimal, rewarded: Decimal, tariff_per_kwh: Decimal
) -> tuple[Owed, ...]:
    """What is paid at the frozen price. Charging that was stopped earns what it is above the tariff; a rise in charging
    never costs more than the tariff."""
    price, extra = command.price_per_kwh, max(command.price_per_kwh - tariff_per_kwh, _NOTHING)
    cheap = min(price, tariff_per_kwh)
    every = (
        (EntryKind.SALE, "sale-commanded", sold, price),
        (EntryKind.PURCHASE, "purchase-commanded", bought, cheap),
        (EntryKind.REWARD, "reward", rewarded if extra else _NOTHING, extra),
    )
    return tuple(
        Owed(kind=kind, part=part, energy_wh=energy_wh, price_per_kwh=each, event=command.event)
        for kind, part, energy_wh, each in every
        if energy_wh > 0
    )


def capped(counterfactual_wh: Sequence[Decimal], room_wh: Decimal | None) -> tuple[Decimal, ...]:
    """Counterfactual energies of one plug-in in order, cut so that their sum never exceeds ``room_wh``: what the
    vehicle could still take when they began, as its filling up later in the plug-in showed. None = not known."""
    if room_wh is None:
        return tuple(counterfactual_wh)
    left = max(room_wh, _NOTHING)
    found = []
    for energy_wh in counterfactual_wh:
        found.append(min(energy_wh, left))
        left -= found[-1]
    return tuple(found)
