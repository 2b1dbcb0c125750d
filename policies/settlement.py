"""From metered energy to money: what is owed for an interval, held against what is booked. P13, P19; design §3."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from csms.domain.dr import Direction
from csms.domain.ids import DrEventId, UserId
from csms.domain.ledger import ENERGY_BOUGHT, ENERGY_SOLD, EntryKind, LedgerEntry, Posting, user_account
from csms.domain.metering import Quality, WindowEnergy
from csms.domain.units import amount_minor, split_minor
from policies.flows import Flow


@dataclass(frozen=True, slots=True)
class Sum:
    """Whole Wh, and what the user gets for them (negative = pays), minor units."""

    energy_wh: int = 0
    amount_minor: int = 0

    def less(self, other: "Sum") -> "Sum":
        return Sum(self.energy_wh - other.energy_wh, self.amount_minor - other.amount_minor)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a price followed from. Entries of one cause under other terms than today's are taken back as they were
    booked, so that energy times price is the amount in each and the ledger of an event is what the event paid."""

    event: DrEventId | None
    price_per_kwh: Decimal
    currency: str


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
    def cause(self) -> str:
        return f"{self.flow.plug_in.id}:{self.flow.energy.start.astimezone(UTC).isoformat()}:{self.kind}"

    def terms(self, currency: str) -> Terms:
        event = self.flow.event_in(Direction.DOWN if self.kind is EntryKind.SALE else Direction.UP)
        return Terms(event.id if event else None, self.price_per_kwh, currency)


@dataclass(frozen=True, slots=True)
class Owed:
    """What a line comes to, rounded."""

    line: Line
    terms: Terms
    sum: Sum


def ledger_entries(
    flows: Sequence[Flow], booked: Mapping[str, Sequence[LedgerEntry]], currency: str, now: datetime
) -> tuple[LedgerEntry, ...]:
    """The entries that make the ledger say what was metered; () when it does already.

    ``flows``: all of one market interval at once, because rounding is done over the whole of it. ``booked``: all
    entries whose period begins in the interval, by cause, in order. What differs from the booked is posted as a
    CORRECTION; a cause that no flow has any more is taken back. Nobody is paid for what was not metered: MISSING gives
    no entry.
    """
    owed = {each.line.cause: each for each in _owed(flows, currency)}
    causes = sorted(owed.keys() | booked.keys())
    return tuple(entry for cause in causes for entry in _set_right(owed.get(cause), booked.get(cause, ()), now))


def _owed(flows: Sequence[Flow], currency: str) -> Iterable[Owed]:
    for kind in (EntryKind.SALE, EntryKind.PURCHASE):
        yield from _rounded([line for flow in flows for line in _lines(flow, kind)], currency)


def _lines(flow: Flow, kind: EntryKind) -> list[Line]:
    user = flow.plug_in.user
    return [] if user is None or flow.energy.quality is Quality.MISSING else [Line(flow, user, kind)]


def _rounded(lines: Sequence[Line], currency: str) -> Iterable[Owed]:
    """Whole Wh and minor units; their sums are the rounded sums, however the time of a plug-in is cut."""
    ordered = sorted(lines, key=lambda line: line.cause)
    energies = split_minor([line.energy_wh for line in ordered])
    exact = [amount_minor(energy, line.price_per_kwh, currency) for line, energy in zip(ordered, energies, strict=True)]
    for line, energy, amount in zip(ordered, energies, split_minor(exact), strict=True):
        yield Owed(line, line.terms(currency), Sum(energy, amount if line.kind is EntryKind.SALE else -amount))


def _set_right(owed: Owed | None, booked: Sequence[LedgerEntry], now: datetime) -> Iterable[LedgerEntry]:
    """What is missing to what is owed for one cause, after what was booked under other terms is taken back."""
    by_terms: dict[Terms, list[LedgerEntry]] = {}
    for entry in booked:
        by_terms.setdefault(_terms_of(entry), []).append(entry)
    same = by_terms.pop(owed.terms, []) if owed else []
    drafts = [draft for entries in by_terms.values() for draft in _taken_back(entries, now)]
    drafts += _difference(owed, same, booked, now) if owed else []
    first = max((entry.revision for entry in booked), default=-1) + 1
    return (replace(draft, revision=first + n) for n, draft in enumerate(drafts))


def _terms_of(entry: LedgerEntry) -> Terms:
    return Terms(entry.event, entry.price_per_kwh, entry.currency)


def booked_sum(entries: Sequence[LedgerEntry]) -> Sum:
    """What entries come to for their users."""
    return Sum(
        sum(entry.energy_wh for entry in entries),
        sum(p.amount_minor for entry in entries for p in entry.postings if p.account == user_account(entry.user)),
    )


def _taken_back(entries: Sequence[LedgerEntry], now: datetime) -> list[LedgerEntry]:
    """The entry that brings others of the same cause and terms to zero; none when they are there."""
    booked, newest = booked_sum(entries), entries[-1]
    if booked == Sum():
        return []
    other = next(posting.account for posting in newest.postings if posting.account != user_account(newest.user))
    corrected = replace(
        newest,
        kind=EntryKind.CORRECTION,
        posted_at=now,
        energy_wh=-booked.energy_wh,
        postings=_postings(newest.user, other, -booked.amount_minor),
        evidence={**newest.evidence, "takes_back": [entry.revision for entry in entries]},
    )
    return [corrected]


def _difference(
    owed: Owed, same: Sequence[LedgerEntry], booked: Sequence[LedgerEntry], now: datetime
) -> list[LedgerEntry]:
    """The entry that brings those of the same terms to what is owed; what was booked stays with whom it was booked to.
    ``booked``: all of the cause."""
    change = owed.sum.less(booked_sum(same))
    if change == Sum():
        return []
    line, energy = owed.line, owed.line.flow.energy
    user = booked[0].user if booked else line.user
    other = ENERGY_BOUGHT if line.kind is EntryKind.SALE else ENERGY_SOLD
    entry = LedgerEntry(
        cause=line.cause,
        revision=0,
        kind=EntryKind.CORRECTION if booked else line.kind,
        posted_at=now,
        period_start=energy.start,
        period_end=energy.end,
        user=user,
        vehicle=line.flow.plug_in.vehicle,
        evse=energy.evse,
        plug_in=line.flow.plug_in.id,
        event=owed.terms.event,
        energy_wh=change.energy_wh,
        price_per_kwh=owed.terms.price_per_kwh,
        currency=owed.terms.currency,
        postings=_postings(user, other, change.amount_minor),
        evidence=_evidence(energy, permitted=line.flow.permitted),
    )
    return [entry]


def _postings(user: UserId, other: str, amount: int) -> tuple[Posting, Posting]:
    """Credit to the user against the aggregator's account; a purchase's amount is negative."""
    return Posting(user_account(user), amount), Posting(other, -amount)


def _evidence(energy: WindowEnergy, *, permitted: bool) -> dict[str, object]:
    return {
        "readings": list(energy.readings),
        "import_wh": str(energy.import_wh),
        "export_wh": str(energy.export_wh),
        "quality": str(energy.quality),
        "permitted": permitted,
    }
