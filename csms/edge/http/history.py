"""A user's past plug-ins with their energy and amounts, from the ledger. P13."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from csms.domain.ids import PlugInId
from csms.domain.ledger import EntryKind, LedgerEntry, user_account
from csms.domain.permission import PlugIn
from csms.edge.http.driver_state import plug_in_json
from csms.edge.http.shapes import instant


@dataclass(slots=True)
class Sums:
    """Energy out of and into the vehicle and charging that stopped for an event, Wh; what the user earned (+) or spent
    (-), in minor units."""

    sold_wh: int = 0
    bought_wh: int = 0
    rewarded_wh: int = 0
    amount_minor: int = 0


def sums_by_plug_in(entries: Iterable[LedgerEntry]) -> dict[PlugInId, Sums]:
    """A correction carries the difference of what its cause names."""
    sums: dict[PlugInId, Sums] = defaultdict(Sums)
    for entry in entries:
        of = sums[entry.plug_in]
        of.amount_minor += own_amount_minor(entry)
        match entry.flow:
            case EntryKind.SALE:
                of.sold_wh += entry.energy_wh
            case EntryKind.PURCHASE:
                of.bought_wh += entry.energy_wh
            case _:
                of.rewarded_wh += entry.energy_wh
    return sums


def own_amount_minor(entry: LedgerEntry) -> int:
    """What the entry adds to the user's account."""
    account = user_account(entry.user)
    return sum(posting.amount_minor for posting in entry.postings if posting.account == account)


def history_json(plug_ins: Sequence[PlugIn], entries: Sequence[LedgerEntry]) -> dict[str, Any]:
    """Plug-ins with their sums, and the ledger's lines behind them, both newest first."""
    sums = sums_by_plug_in(entries)
    newest = sorted(plug_ins, key=lambda plug_in: plug_in.plugged_at, reverse=True)
    lines = sorted(entries, key=lambda entry: entry.period_start, reverse=True)
    return {
        "plug_ins": [_with_sums(plug_in, sums.get(plug_in.id, Sums())) for plug_in in newest],
        "entries": [_line(entry) for entry in lines],
    }


def _with_sums(plug_in: PlugIn, sums: Sums) -> dict[str, Any]:
    return {
        **plug_in_json(plug_in),
        "sold_wh": sums.sold_wh,
        "bought_wh": sums.bought_wh,
        "rewarded_wh": sums.rewarded_wh,
        "amount_minor": sums.amount_minor,
    }


def _line(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "sale": entry.flow is EntryKind.SALE,
        "flow": entry.flow,
        "period_start": instant(entry.period_start),
        "period_end": instant(entry.period_end),
        "plug_in": entry.plug_in,
        "event": entry.event,
        "energy_wh": entry.energy_wh,
        "price_per_kwh": f"{entry.price_per_kwh:f}",
        "amount_minor": own_amount_minor(entry),
        "currency": entry.currency,
    }
