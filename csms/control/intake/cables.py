"""Cables in and cables out, as far as statuses and cards tell. Requirement P2, reference v2g-over-ocpp §2.1.

What counts is the order and the time the station says, not when it reached us: a burst after an outage is a whole day.
"""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from csms.control.state import changes
from csms.control.state.live import EvseLive, Live, Run, StationLive
from csms.domain.facts import AuthorizeAsked, IdToken, StatusesReported, StatusReported
from csms.domain.ids import PlugInId, UserId
from csms.domain.live import StoredStatus
from csms.domain.permission import PlugIn
from csms.domain.station import ConnectorStatus

CARD_BEFORE_CABLE = timedelta(seconds=30)
"""Preparing this soon after a card may mean the card, not a cable (1.6 §7.7)."""

BOUNCES_WITHIN = timedelta(seconds=3)
"""Nobody changes vehicles in less: a contact that is free for so short a time has bounced."""

LIVE_WITHIN = timedelta(seconds=5)
"""What comes this soon after it was said comes in its turn, whatever its stamp: clocks are set back (lesson 16)."""

_PLUG_HINTS = ("plugingun", "evconnected")
IN_TRANSACTION = frozenset({ConnectorStatus.CHARGING, ConnectorStatus.SUSPENDED_EV, ConnectorStatus.SUSPENDED_EVSE})


def status(live: Live, fact: StatusReported, _committed: changes.Committed) -> Iterator[changes.Change]:
    evse, station = live.discover(fact.evse), live.station(fact.evse.station)
    if evse is None or station is None:
        return
    known = evse.cable.statuses.get(fact.connector)
    if known is not None and _is_older(station, known, fact):
        yield from _missed(evse, known, fact)
        return
    evse.cable.statuses[fact.connector] = StoredStatus(
        evse=fact.evse,
        connector=fact.connector,
        status=fact.status,
        at=fact.at,
        received_at=fact.origin.received_at,
    )
    if fact.status is ConnectorStatus.AVAILABLE:
        yield from _freed(station, evse, known, fact)
    elif fact.status.is_plugged:
        yield from _occupied(live, evse, fact)


def _is_older(station: StationLive, known: StoredStatus, fact: StatusReported) -> bool:
    """A status from a queue, or a replay, of before the one that is known. After a boot a station says what is now."""
    is_late = fact.origin.received_at - fact.at > LIVE_WITHIN
    return fact.at < known.at and is_late and not is_of_before(station, known.received_at)


def is_of_before(station: StationLive, at: datetime | None) -> bool:
    """Before its last boot."""
    return station.booted_at is not None and (at is None or at < station.booted_at)


def _missed(evse: EvseLive, known: StoredStatus, fact: StatusReported) -> Iterator[changes.Change]:
    """Free between a plug-in and the cable that is in now: that one is another."""
    plugged = evse.cable.plugged
    is_gap = fact.status is ConnectorStatus.AVAILABLE and known.status.is_plugged
    if plugged is not None and is_gap and plugged.connector == fact.connector and plugged.plugged_at < fact.at:
        yield from unplug(evse, fact.at)
        yield from plug_in(evse, known.connector, known.at)


def _freed(
    station: StationLive, evse: EvseLive, known: StoredStatus | None, fact: StatusReported
) -> Iterator[changes.Change]:
    plugged = evse.cable.plugged
    if plugged is None or plugged.connector != fact.connector:
        return
    if evse.cable.available_since is None:  # said again it has been free as long
        evse.cable.available_since, evse.cable.free_at = fact.origin.received_at, fact.at
    is_first = known is None or is_of_before(station, known.received_at)
    if is_first and is_of_before(station, plugged.plugged_at):  # nobody watched the cable while the power was off
        yield from unplug(evse, fact.at)


def _occupied(live: Live, evse: EvseLive, fact: StatusReported) -> Iterator[changes.Change]:
    if evse.cable.plugged is not None and _was_free(evse, fact):
        yield from unplug(evse, evse.cable.free_at or fact.at)
    evse.cable.available_since = evse.cable.free_at = None
    if evse.cable.plugged is None and _means_cable(live, fact):
        yield from plug_in(evse, fact.connector, min(fact.at, fact.origin.received_at))
    _correct_connector(evse, fact.connector)


def _was_free(evse: EvseLive, fact: StatusReported) -> bool:
    """Whether the cable that is in now is another one than before: the connector was free in between."""
    since, free_at = evse.cable.available_since, evse.cable.free_at
    if since is None or free_at is None:
        return False
    if evse.run.transaction is not None and fact.status in IN_TRANSACTION:
        return False  # it goes on with what it did before (field lesson 14)
    return max(fact.at - free_at, fact.origin.received_at - since) >= BOUNCES_WITHIN


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


def plug_in(evse: EvseLive, connector: int, at: datetime, by: IdToken | None = None) -> Iterator[changes.Change]:
    id_ = PlugInId(f"{at:%Y%m%dT%H%M%S}-{secrets.token_hex(6)}")
    evse.cable.plugged = PlugIn(id=id_, evse=evse.ref, connector=connector, plugged_at=at)
    evse.cable.available_since = evse.cable.free_at = None
    yield changes.PluggedIn(evse, by)


def unplug(evse: EvseLive, at: datetime) -> Iterator[changes.Change]:
    """End the plug-in of an EVSE, where there is one; what still ran in it is over too."""
    if evse.plug_in is None:
        return
    run, ended = evse.run, replace(evse.plug_in, unplugged_at=max(at, evse.plug_in.plugged_at))
    evse.cable.plugged = evse.cable.available_since = evse.cable.free_at = evse.meter.needs = None
    # Nothing that was learnt of this vehicle holds for the next.
    if run.transaction is None:
        evse.run = Run(ended=run.ended, ended_at=run.ended_at)
    else:
        evse.run = Run(ended=run.transaction, ended_at=at)
        if evse.meter.reading:  # power after the end is nothing, whatever was sampled last (field lesson 19)
            evse.meter.reading = replace(evse.meter.reading, power_import_w=0.0, power_export_w=0.0)
        yield changes.Presumed(evse, run.transaction, at, "the vehicle has left")
    yield changes.Unplugged(evse, ended)


def held_at(known: StoredStatus) -> datetime:
    """Since when a connector is known to be so: never later than it said so, whatever its clock."""
    return known.at if known.received_at is None else min(known.at, known.received_at)


def left(evse: EvseLive, at: datetime) -> Iterator[changes.Change]:
    """The vehicle left ``at``, as its transaction tells. A cable that went in since is the next vehicle's."""
    yield from unplug(evse, at)
    newest = max(evse.cable.statuses.values(), key=held_at, default=None)
    if newest is not None and held_at(newest) > at and newest.status in NEXT:
        yield from plug_in(evse, newest.connector, held_at(newest))


NEXT = IN_TRANSACTION | {ConnectorStatus.PREPARING, ConnectorStatus.OCCUPIED}


def card(live: Live, fact: AuthorizeAsked, committed: changes.Committed) -> Iterator[changes.Change]:
    station = live.station(fact.origin.station)
    if station is None or not committed.token_accepted:
        return
    shown = {fact.token.key, *((committed.group.strip().upper(),) if committed.group else ())}
    if any(_ends(evse, shown, committed.holder) for evse in station.evses.values()):
        return  # who is charging comes back to stop it, and is not the one who waits at the next connector
    waiting = [evse for evse in station.evses.values() if evse.cable.plugged and not evse.run.authorized]
    if not waiting:  # else the card is for the vehicle that waits, and explains no other connector's Preparing
        station.card_shown_at = fact.origin.received_at
    if len(waiting) == 1:  # 1.6 does not say at which EVSE: only an unambiguous one is taken
        yield changes.TokenShown(waiting[0], fact.token)


def _ends(evse: EvseLive, shown: set[str], holder: UserId | None) -> bool:
    """Whether a card may be shown to end what runs here: the one it began with, one of its group, its user's."""
    if evse.run.transaction is None or not evse.run.authorized:
        return False
    return not shown.isdisjoint(evse.run.tokens) or (holder is not None and holder == evse.user)
