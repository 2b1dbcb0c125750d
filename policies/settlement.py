"""From metered energy to money: what is owed for an interval, held against what is booked. P13, P19; design §3."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from csms.domain.ids import DrEventId, PlugInId, UserId
from csms.domain.ledger import (
    CHARGING_STOPPED,
    ENERGY_BOUGHT,
    ENERGY_SOLD,
    EntryKind,
    LedgerEntry,
    Posting,
    user_account,
)
from csms.domain.metering import Quality
from csms.domain.units import amount_minor, split_minor
from policies.flows import Flow
from policies.payment import RULE, Owed, owed


@dataclass(frozen=True, slots=True)
class Sum:
    """Whole Wh, and what the user gets for them (negative = pays), minor units."""

    energy_wh: int = 0
    amount_minor: int = 0

    def less(self, other: "Sum") -> "Sum":
        return Sum(self.energy_wh - other.energy_wh, self.amount_minor - other.amount_minor)


@dataclass(frozen=True, slots=True)
class Terms:
    """Whose it is, and what a price followed from. Entries of one cause under other terms than today's are taken back
    as they were booked, so that energy times price is the amount in each, the ledger of an event is what the event
    paid, and what was booked to one who was only taken for the driver is the driver's, once (S2)."""

    user: UserId
    event: DrEventId | None
    price_per_kwh: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Line:
    """A part of one flow at one price, before it is rounded."""

    flow: Flow
    user: UserId
    owed: Owed

    @property
    def cause(self) -> str:
        return f"{self.flow.plug_in.id}:{self.flow.energy.start.astimezone(UTC).isoformat()}:{self.owed.part}"

    def terms(self, currency: str) -> Terms:
        return Terms(self.user, self.owed.event, self.owed.price_per_kwh, self.flow.currency or currency)


@dataclass(frozen=True, slots=True)
class Due:
    """What a line comes to, rounded."""

    line: Line
    terms: Terms
    sum: Sum


ACCOUNTS = {
    EntryKind.SALE: ENERGY_BOUGHT,
    EntryKind.PURCHASE: ENERGY_SOLD,
    EntryKind.REWARD: CHARGING_STOPPED,
}
"""The aggregator's side of each kind."""


def ledger_entries(
    flows: Sequence[Flow], booked: Mapping[str, Sequence[LedgerEntry]], currency: str, now: datetime
) -> tuple[LedgerEntry, ...]:
    """The entries that make the ledger say what was metered; () when it does already.

    ``flows``: all of one market interval. ``booked``: all entries whose period begins in the interval, by cause, in
    order. ``currency``: of flows that name none. What differs from the booked is posted as a CORRECTION; a cause that
    no flow has any more is taken back. Nobody is paid for what was not metered: MISSING gives no entry. Rounding is
    done over all of one plug-in, and touches no other (A14).
    """
    due = {each.line.cause: each for each in _due(flows, currency)}
    causes = sorted(due.keys() | booked.keys())
    return tuple(entry for cause in causes for entry in _set_right(due.get(cause), booked.get(cause, ()), now))


def _due(flows: Sequence[Flow], currency: str) -> Iterable[Due]:
    by_plug_in: dict[tuple[PlugInId, EntryKind, str], list[Line]] = {}
    for flow in flows:
        for line in _lines(flow):
            by_plug_in.setdefault((flow.plug_in.id, line.owed.kind, flow.currency or currency), []).append(line)
    for (_, _, money), lines in by_plug_in.items():
        yield from _rounded(lines, money)


def _lines(flow: Flow) -> list[Line]:
    user = flow.plug_in.user
    if user is None or flow.energy.quality is Quality.MISSING:
        return []
    return [Line(flow, user, part) for part in owed(flow.energy, flow.tariff_per_kwh, flow.command, flow.unconfirmed)]


def _rounded(lines: Sequence[Line], currency: str) -> Iterable[Due]:
    """Whole Wh and minor units; their sums are the rounded sums, however the time of a plug-in is cut."""
    ordered = sorted(lines, key=lambda line: line.cause)
    energies = split_minor([line.owed.energy_wh for line in ordered])
    pairs = zip(ordered, energies, strict=True)
    exact = [amount_minor(energy, line.owed.price_per_kwh, currency) for line, energy in pairs]
    for line, energy, amount in zip(ordered, energies, split_minor(exact), strict=True):
        yield Due(line, line.terms(currency), Sum(energy, -amount if line.owed.kind is EntryKind.PURCHASE else amount))


def _set_right(due: Due | None, booked: Sequence[LedgerEntry], now: datetime) -> Iterable[LedgerEntry]:
    """What is missing to what is owed for one cause, after what was booked under other terms is taken back."""
    by_terms: dict[Terms, list[LedgerEntry]] = {}
    for entry in booked:
        by_terms.setdefault(_terms_of(entry), []).append(entry)
    same = by_terms.pop(due.terms, []) if due else []
    drafts = [draft for entries in by_terms.values() for draft in _taken_back(entries, now)]
    drafts += _difference(due, same, booked, now) if due else []
    first = max((entry.revision for entry in booked), default=-1) + 1
    return (replace(draft, revision=first + n) for n, draft in enumerate(drafts))


def _terms_of(entry: LedgerEntry) -> Terms:
    return Terms(entry.user, entry.event, entry.price_per_kwh, entry.currency)


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
    due: Due, same: Sequence[LedgerEntry], booked: Sequence[LedgerEntry], now: datetime
) -> list[LedgerEntry]:
    """The entry that brings those of the same terms to what is owed. ``booked``: all of the cause."""
    change = due.sum.less(booked_sum(same))
    if change == Sum():
        return []
    line, energy = due.line, due.line.flow.energy
    entry = LedgerEntry(
        cause=line.cause,
        revision=0,
        kind=EntryKind.CORRECTION if booked else line.owed.kind,
        posted_at=now,
        period_start=energy.start,
        period_end=energy.end,
        user=line.user,
        vehicle=line.flow.plug_in.vehicle,
        evse=energy.evse,
        plug_in=line.flow.plug_in.id,
        event=due.terms.event,
        energy_wh=change.energy_wh,
        price_per_kwh=due.terms.price_per_kwh,
        currency=due.terms.currency,
        postings=_postings(line.user, ACCOUNTS[line.owed.kind], change.amount_minor),
        evidence=_evidence(line.flow),
    )
    return [entry]


def _postings(user: UserId, other: str, amount: int) -> tuple[Posting, Posting]:
    """Credit to the user against the aggregator's account; a purchase's amount is negative."""
    return Posting(user_account(user), amount), Posting(other, -amount)


def _evidence(flow: Flow) -> dict[str, object]:
    energy, command = flow.energy, flow.command
    found: dict[str, object] = {
        "rule": RULE,
        "readings": list(energy.readings),
        "import_wh": str(energy.import_wh),
        "export_wh": str(energy.export_wh),
        "metered_wh": str(energy.net_wh),
        "quality": str(energy.quality),
        "permitted": flow.permitted,
    }
    if flow.unconfirmed is not None:
        found |= {"unconfirmed": list(flow.unconfirmed.setpoints), "unconfirmed_wh": str(flow.unconfirmed.energy_wh)}
    if command is None:
        return found
    return found | {
        "setpoints": list(command.setpoints),
        "counterfactual_wh": str(command.counterfactual_wh),
        "commanded_wh": str(command.commanded_wh),
        **({"shared_wh": {claim.event: str(claim.commanded_wh) for claim in command.claims}} if command.claims else {}),
    }
