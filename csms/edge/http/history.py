"""A user's past plug-ins with their energy and amounts, from the ledger. P13."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from csms.domain.ids import PlugInId
from csms.domain.ledger import LedgerEntry, user_account
from csms.domain.permission import PlugIn
from csms.edge.http.driver_state import plug_in_json
from csms.edge.http.shapes import instant


@dataclass(slots=True)
class Sums:
    """Energy out of and into the vehicle, and what the user earned (+) or spent (-), in minor units."""

    sold_wh: int = 0
    bought_wh: int = 0
    amount_minor: int = 0


def sums_by_plug_in(entries: Iterable[LedgerEntry]) -> dict[PlugInId, Sums]:
    """A correction carries the difference of the sale or purchase that its cause names last."""
    sums: dict[PlugInId, Sums] = defaultdict(Sums)
    for entry in entries:
        of = sums[entry.plug_in]
        of.amount_minor += own_amount_minor(entry)
        if is_sale(entry):
            of.sold_wh += entry.energy_wh
        else:
            of.bought_wh += entry.energy_wh
    return sums


def is_sale(entry: LedgerEntry) -> bool:
    """Whether the entry is, or corrects, energy the user sold."""
    return entry.cause.rsplit(":", 1)[-1] == "sale"


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
        "amount_minor": sums.amount_minor,
    }


def _line(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "sale": is_sale(entry),
        "period_start": instant(entry.period_start),
        "period_end": instant(entry.period_end),
        "plug_in": entry.plug_in,
        "event": entry.event,
        "energy_wh": entry.energy_wh,
        "price_per_kwh": f"{entry.price_per_kwh:f}",
        "amount_minor": own_amount_minor(entry),
        "currency": entry.currency,
    }
