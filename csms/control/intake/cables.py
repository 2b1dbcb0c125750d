"""Cables in and cables out, as far as statuses and cards tell. Requirement P2, reference v2g-over-ocpp §2.1."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from csms.control.state import changes
from csms.control.state.live import EvseLive, Live, Run
from csms.domain.facts import AuthorizeAsked, StatusesReported, StatusReported
from csms.domain.ids import PlugInId
from csms.domain.live import StoredStatus
from csms.domain.permission import PlugIn
from csms.domain.station import ConnectorStatus

CARD_BEFORE_CABLE = timedelta(seconds=30)
"""Preparing this soon after a card may mean the card, not a cable (1.6 §7.7)."""

_PLUG_HINTS = ("plugingun", "evconnected")


def status(live: Live, fact: StatusReported, _committed: changes.Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse)
    if evse is None:
        return
    evse.cable.statuses[fact.connector] = StoredStatus(
        evse=fact.evse, connector=fact.connector, status=fact.status, at=fact.at
    )
    if fact.status is ConnectorStatus.AVAILABLE:
        if evse.cable.plugged and evse.cable.plugged.connector == fact.connector:
            evse.cable.available_since = fact.origin.received_at
        return
    if not fact.status.is_plugged:
        return
    evse.cable.available_since = None
    if evse.cable.plugged is None and _means_cable(live, fact):
        yield from plug_in(evse, fact.connector, fact.origin.received_at)
    _correct_connector(evse, fact.connector)


def _correct_connector(evse: EvseLive, connector: int) -> None:
    """A plug-in seen in a transaction that named no connector is at the one that says so itself."""
    plugged = evse.cable.plugged
    if plugged is None:
        return
    known = evse.cable.statuses.get(plugged.connector)
    if known is None or not known.status.is_plugged:
        evse.cable.plugged = replace(plugged, connector=connector)


def _means_cable(live: Live, fact: StatusReported) -> bool:
    station = live.station(fact.evse.station)
    if fact.status is not ConnectorStatus.PREPARING or station is None or station.card_shown_at is None:
        return fact.status is not ConnectorStatus.FINISHING
    if any(hint in fact.info.lower() for hint in _PLUG_HINTS):
        return True
    return fact.origin.received_at - station.card_shown_at > CARD_BEFORE_CABLE


def statuses(live: Live, fact: StatusesReported, _committed: changes.Committed) -> Iterator[changes.Change]:
    for one in fact.statuses:
        yield from status(live, one, changes.Committed())


def plug_in(evse: EvseLive, connector: int, at: datetime) -> Iterator[changes.Change]:
    id_ = PlugInId(f"{at:%Y%m%dT%H%M%S}-{secrets.token_hex(6)}")
    evse.cable.plugged = PlugIn(id=id_, evse=evse.ref, connector=connector, plugged_at=at)
    evse.cable.available_since = None
    yield changes.PluggedIn(evse)


def unplug(evse: EvseLive, at: datetime) -> Iterator[changes.Change]:
    """End the plug-in of an EVSE, where there is one."""
    if evse.plug_in is None:
        return
    ended = replace(evse.plug_in, unplugged_at=at)
    evse.cable.plugged = evse.cable.available_since = evse.meter.needs = None
    evse.run = Run(ended=evse.run.ended)  # nothing that was learnt of this vehicle holds for the next
    yield changes.Unplugged(evse, ended)


def card(live: Live, fact: AuthorizeAsked, committed: changes.Committed) -> Iterator[changes.Change]:
    station = live.station(fact.origin.station)
    if station is None or not committed.token_accepted:
        return
    waiting = [evse for evse in station.evses.values() if evse.cable.plugged and not evse.run.authorized]
    if not waiting:  # else the card is for the vehicle that waits, and explains no other connector's Preparing
        station.card_shown_at = fact.origin.received_at
    if len(waiting) == 1:  # 1.6 does not say at which EVSE: only an unambiguous one is taken
        yield changes.TokenShown(waiting[0], fact.token)
