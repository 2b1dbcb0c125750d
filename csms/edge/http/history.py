"""A user's past plug-ins with their energy and amounts, from the ledger. P13."""

from collections.abc import Mapping, Sequence
from typing import Any

from csms.domain.ids import PlugInId
from csms.domain.ledger import Balance, EntryKind, LedgerEntry, user_account
from csms.domain.permission import PlugIn
from csms.edge.http.driver_state import plug_in_json
from csms.edge.http.shapes import instant


def own_amount_minor(entry: LedgerEntry) -> int:
    """What the entry adds to the user's account."""
    account = user_account(entry.user)
    return sum(posting.amount_minor for posting in entry.postings if posting.account == account)


def history_json(
    plug_ins: Sequence[PlugIn], sums: Mapping[PlugInId, Balance], entries: Sequence[LedgerEntry]
) -> dict[str, Any]:
    """Plug-ins with their sums, and the ledger's lines behind them, both newest first."""
    newest = sorted(plug_ins, key=lambda plug_in: plug_in.plugged_at, reverse=True)
    lines = sorted(entries, key=lambda entry: entry.period_start, reverse=True)
    return {
        "plug_ins": [_with_sums(plug_in, sums.get(plug_in.id)) for plug_in in newest],
        "entries": [_line(entry) for entry in lines],
    }


def _with_sums(plug_in: PlugIn, sums: Balance | None) -> dict[str, Any]:
    return {
        **plug_in_json(plug_in),
        "sold_wh": sums.sold_wh if sums else 0,
        "bought_wh": sums.bought_wh if sums else 0,
        "rewarded_wh": sums.rewarded_wh if sums else 0,
        "amount_minor": sums.amount_minor if sums else 0,
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
