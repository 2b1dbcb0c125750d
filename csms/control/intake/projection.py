"""From committed facts to live state: which part of it each kind of fact changes. Design §3."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from csms.control.intake import cables, meters, transactions
from csms.control.state import changes
from csms.control.state.live import Live
from csms.domain.facts import (
    AuthorizeAsked,
    Booted,
    Metered,
    NeedsReported,
    StatusesReported,
    StatusReported,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
)
from csms.domain.station import BootState


def apply(live: Live, fact: Any, committed: changes.Committed) -> Iterator[changes.Change]:
    """Change the live state by one committed fact, as far as the result is read. Yields what changed."""
    projection = PROJECTIONS.get(type(fact))
    return iter(()) if projection is None else projection(live, fact, committed)


def _booted(live: Live, fact: Booted, committed: changes.Committed) -> Iterator[changes.Change]:
    station = live.station(fact.origin.station)
    if station is None:
        return
    is_other = (fact.model, fact.firmware) != (station.station.model, station.station.firmware)
    station.station = replace(
        station.station,
        vendor=fact.vendor,
        model=fact.model,
        serial=fact.serial,
        firmware=fact.firmware,
        boot_state=committed.result,
    )
    station.booted_at = fact.origin.received_at
    if is_other:
        yield changes.ModelChanged(station)
    if station.station.boot_state is BootState.ACCEPTED:
        yield changes.StationBooted(station)


Projection = Callable[[Live, Any, changes.Committed], Iterator[changes.Change]]

PROJECTIONS: Mapping[type, Projection] = {
    Booted: _booted,
    StatusReported: transactions.status,
    StatusesReported: transactions.statuses,
    AuthorizeAsked: cables.card,
    TransactionStarted: transactions.started,
    TransactionStopped: transactions.stopped,
    TransactionReported: transactions.reported,
    Metered: transactions.metered,
    NeedsReported: meters.needs,
}
