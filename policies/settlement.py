"""From metered energy to money: market intervals, ledger entries, corrections and DR results. P13, P19; design §3."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise

from csms.domain.dispatch import DrResult, SetpointRecord
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId, EvseRef, UserId
from csms.domain.ledger import ENERGY_BOUGHT, ENERGY_SOLD, EntryKind, LedgerEntry, Posting, user_account
from csms.domain.metering import Quality, WindowEnergy
from csms.domain.permission import PlugIn
from csms.domain.tariff import PriceSeries
from csms.domain.units import amount_minor, split_minor

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Energy of one plug-in in one cut (see ``cuts``), with the DR event its EVSE answered, if any."""

    plug_in: PlugIn
    energy: WindowEnergy
    area: AreaId
    event: DrEvent | None
    tariff_per_kwh: Decimal

    @property
    def sale_price(self) -> Decimal:
        """Per discharged kWh: a DOWN event's price, else the tariff (P11)."""
        return self._price(Direction.DOWN)

    @property
    def purchase_price(self) -> Decimal:
        """Per charged kWh: an UP event's price, else the tariff."""
        return self._price(Direction.UP)

    def event_in(self, direction: Direction) -> DrEvent | None:
        return self.event if self.event is not None and self.event.direction is direction else None

    def _price(self, direction: Direction) -> Decimal:
        event = self.event_in(direction)
        return self.tariff_per_kwh if event is None else event.unit_price(self.tariff_per_kwh)


def cuts(
    start: datetime, end: datetime, interval: timedelta, events: Sequence[DrEvent], series: PriceSeries
) -> tuple[tuple[datetime, datetime], ...]:
    """[start, end) in market intervals (aligned to 00:00 UTC), cut at the edges of events and at price steps."""
    edges = {start, end}
    edges.update(_grid(start, end, interval))
    edges.update(edge for event in events for edge in (event.starts_at, event.stops_at))
    edges.update(step.starts_at for step in series.steps)
    inside = sorted({edge.astimezone(UTC) for edge in edges if start <= edge <= end})
    return tuple(pairwise(inside))


def _grid(start: datetime, end: datetime, interval: timedelta) -> Iterable[datetime]:
    edge = _EPOCH + (start - _EPOCH) // interval * interval
    while edge <= end:
        yield edge
        edge += interval


@dataclass(frozen=True, slots=True)
class Sum:
    """What one cause comes to: whole Wh, and what the user gets (negative = pays), minor units."""

    energy_wh: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Line:
    """One flow in one direction, before it is rounded."""

    flow: Flow
    user: UserId
    kind: EntryKind

    @property
    def energy_wh(self) -> Decimal:
        return self.flow.energy.export_wh if self.kind is EntryKind.SALE else self.flow.energy.import_wh

    @property
    def price_per_kwh(self) -> Decimal:
        return self.flow.sale_price if self.kind is EntryKind.SALE else self.flow.purchase_price

    @property
    def event(self) -> DrEvent | None:
        return self.flow.event_in(Direction.DOWN if self.kind is EntryKind.SALE else Direction.UP)

    @property
    def cause(self) -> str:
        return f"{self.flow.plug_in.id}:{self.flow.energy.start.astimezone(UTC).isoformat()}:{self.kind}"


def ledger_entries(
    flows: Sequence[Flow], booked: Mapping[str, Sequence[LedgerEntry]], currency: str, now: datetime
) -> tuple[LedgerEntry, ...]:
    """The entries that make the ledger say what was metered; () when it does already.

    ``flows``: all of an interval at once, because rounding is done over the whole. ``booked``: entries by cause. What
    differs from the booked is posted as a CORRECTION. Nobody is paid for what was not metered: MISSING gives no entry.
    """
    lines = sorted(_lines(flows), key=_interval)
    return tuple(
        entry
        for _, group in groupby(lines, key=_interval)
        for line, owed in _rounded(list(group), currency)
        for entry in _entry(line, owed, booked.get(line.cause, ()), currency, now)
    )


def causes(flows: Sequence[Flow]) -> list[str]:
    """The causes under which entries of these flows are or would be booked."""
    return [line.cause for line in _lines(flows)]


def _interval(line: Line) -> tuple[datetime, datetime, EntryKind]:
    return line.flow.energy.start, line.flow.energy.end, line.kind


def _lines(flows: Sequence[Flow]) -> Iterable[Line]:
    for flow in flows:
        if flow.plug_in.user is not None and flow.energy.quality is not Quality.MISSING:
            yield Line(flow, flow.plug_in.user, EntryKind.SALE)
            yield Line(flow, flow.plug_in.user, EntryKind.PURCHASE)


def _rounded(lines: Sequence[Line], currency: str) -> list[tuple[Line, Sum]]:
    """Whole Wh and minor units; their sums are the rounded sums."""
    ordered = sorted(lines, key=lambda line: line.cause)
    energies = split_minor([line.energy_wh for line in ordered])
    exact = [amount_minor(energy, line.price_per_kwh, currency) for line, energy in zip(ordered, energies, strict=True)]
    signs = [1 if line.kind is EntryKind.SALE else -1 for line in ordered]
    amounts = split_minor(exact)
    return [
        (line, Sum(energy, sign * amount))
        for line, energy, amount, sign in zip(ordered, energies, amounts, signs, strict=True)
    ]


def _entry(line: Line, owed: Sum, booked: Sequence[LedgerEntry], currency: str, now: datetime) -> Iterable[LedgerEntry]:
    line = replace(line, user=booked[0].user) if booked else line  # what was booked stays with whom it was booked to
    before = booked_sum(booked, line.user)
    change = Sum(owed.energy_wh - before.energy_wh, owed.amount_minor - before.amount_minor)
    if change == Sum(0, 0):
        return
    energy = line.flow.energy
    yield LedgerEntry(
        cause=line.cause,
        revision=max((entry.revision for entry in booked), default=-1) + 1,
        kind=EntryKind.CORRECTION if booked else line.kind,
        posted_at=now,
        period_start=energy.start,
        period_end=energy.end,
        user=line.user,
        vehicle=line.flow.plug_in.vehicle,
        evse=energy.evse,
        plug_in=line.flow.plug_in.id,
        event=line.event.id if line.event else None,
        energy_wh=change.energy_wh,
        price_per_kwh=line.price_per_kwh,
        currency=currency,
        postings=_postings(line, change.amount_minor),
        evidence=_evidence(energy),
    )


def booked_sum(booked: Sequence[LedgerEntry], user: UserId) -> Sum:
    """What the entries of one cause come to so far."""
    account = user_account(user)
    postings = (posting for entry in booked for posting in entry.postings if posting.account == account)
    return Sum(sum(entry.energy_wh for entry in booked), sum(posting.amount_minor for posting in postings))


def _postings(line: Line, amount: int) -> tuple[Posting, Posting]:
    """Credit to the user against the aggregator's account; a purchase's amount is negative."""
    other = ENERGY_BOUGHT if line.kind is EntryKind.SALE else ENERGY_SOLD
    return Posting(user_account(line.user), amount), Posting(other, -amount)


def _evidence(energy: WindowEnergy) -> dict[str, object]:
    return {
        "readings": list(energy.readings),
        "import_wh": str(energy.import_wh),
        "export_wh": str(energy.export_wh),
        "quality": str(energy.quality),
    }


def dr_results(event: DrEvent, flows: Sequence[Flow], setpoints: Sequence[SetpointRecord]) -> tuple[DrResult, ...]:
    """What each EVSE that the event moved delivered in each cut: its baseline against its meter. Signed Wh.

    ``setpoints``: all records of these EVSEs in the event's time. An EVSE that the event never moved has no result.
    """
    by_evse: dict[EvseRef, list[SetpointRecord]] = {}
    for record in sorted(setpoints, key=lambda record: record.decided_at):
        by_evse.setdefault(record.evse, []).append(record)
    pairs = ((flow, _held(by_evse.get(flow.energy.evse, []), flow.energy)) for flow in flows)
    return tuple(
        _result(event, flow, held) for flow, held in pairs if any(record.event == event.id for record, _ in held)
    )


def _held(records: Sequence[SetpointRecord], energy: WindowEnergy) -> list[tuple[SetpointRecord, Decimal]]:
    """(record, hours it held inside the window): each holds until the next one or its expiry."""
    ends = [*(record.decided_at for record in records[1:]), energy.end]
    spans = (
        (record, max(record.decided_at, energy.start), min(end, record.expires_at, energy.end))
        for record, end in zip(records, ends, strict=False)
    )
    return [(record, _hours(start, end)) for record, start, end in spans if start < end]


def _hours(start: datetime, end: datetime) -> Decimal:
    return Decimal((end - start) // timedelta(microseconds=1)) / Decimal(3_600_000_000)


def _result(event: DrEvent, flow: Flow, held: Sequence[tuple[SetpointRecord, Decimal]]) -> DrResult:
    """The mean baseline over the time that setpoints held, taken for the whole cut."""
    energy = flow.energy
    mean_w = sum((record.baseline_w * hours for record, hours in held), Decimal(0)) / sum(
        (hours for _, hours in held), Decimal(0)
    )
    baseline_wh = mean_w * _hours(energy.start, energy.end)
    reduced_wh = baseline_wh - energy.net_wh
    return DrResult(
        event=event.id,
        evse=energy.evse,
        period_start=energy.start,
        period_end=energy.end,
        baseline_wh=baseline_wh,
        metered_wh=energy.net_wh,
        delivered_wh=reduced_wh if event.direction is Direction.DOWN else -reduced_wh,
        quality=str(energy.quality),
    )
