"""Cables in and cables out, as far as statuses and cards tell. Requirement P2, reference v2g-over-ocpp §2.1.

What counts is the order and the time the station says, not when it reached us: a burst after an outage is a whole day.
"""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from csms.control.state import changes
from csms.control.state.live import EvseLive, Live, StationLive
from csms.control.state.records import Run
from csms.domain.facts import AuthorizeAsked, IdToken, StatusesReported, StatusReported
from csms.domain.ids import PlugInId, UserId
from csms.domain.live import LIVE_WITHIN, StoredStatus
from csms.domain.permission import PlugIn
from csms.domain.station import ConnectorStatus

CARD_BEFORE_CABLE = timedelta(seconds=30)
"""Preparing this soon after a card may mean the card, not a cable (1.6 §7.7)."""

BOUNCES_WITHIN = timedelta(seconds=3)
"""Nobody changes vehicles in less: a contact that is free for so short a time has bounced."""

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
    if known is not None and fact.at < known.at:  # what is said later is not of before
        fact = replace(fact, at=min(known.at, fact.origin.received_at))
    if fact.status is ConnectorStatus.AVAILABLE:
        yield from _freed(station, evse, known, fact)
    elif fact.status.is_plugged:
        yield from _occupied(live, evse, fact, is_again=_is_put_in_again(station, evse, known, fact))


def _is_older(station: StationLive, known: StoredStatus, fact: StatusReported) -> bool:
    """A status from a queue, or a replay, of before the one that is known. After a boot a station says what is now; of
    the time since it connected nothing waits in a queue: its clock was set back (lesson 16)."""
    return fact.at < known.at and _was_kept(station, fact) and not is_of_before(station, known.received_at)


def _was_kept(station: StationLive, fact: StatusReported) -> bool:
    """Whether it waited in a queue while the station was away."""
    was_away = station.connected_at is None or fact.at < station.connected_at
    return was_away and fact.origin.received_at - fact.at > LIVE_WITHIN


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
    if fact.at < plugged.plugged_at and _was_kept(station, fact):
        return  # it was free before this vehicle came
    if evse.cable.available_since is None:  # said again it has been free as long
        evse.cable.available_since, evse.cable.free_at = fact.origin.received_at, fact.at
    is_first = known is None or is_of_before(station, known.received_at)
    if is_first and is_of_before(station, plugged.plugged_at):  # nobody watched the cable while the power was off
        yield from unplug(evse, fact.at)


def _is_put_in_again(station: StationLive, evse: EvseLive, known: StoredStatus | None, fact: StatusReported) -> bool:
    """Whether a cable went in after a charge though the connector never said that it was free. 1.6 §4.9: Finishing is
    followed by Preparing for a cable that is put in again, or for a card. Nothing of the driver before holds for
    whoever that is (B1). A start that we asked for, a card and a power cycle are other reasons."""
    if known is None or known.status is not ConnectorStatus.FINISHING or evse.cable.plugged is None:
        return False
    if fact.status is not ConnectorStatus.PREPARING:
        return False
    if evse.run.transaction is not None or evse.run.over_at is None or is_of_before(station, known.received_at):
        return False
    answer, shown_at = evse.answered, station.card_accepted_at
    is_started = answer is not None and answer.start is not None and answer.start_failed is None
    is_card = shown_at is not None and fact.origin.received_at - shown_at <= CARD_BEFORE_CABLE
    is_cycle = answer is not None and answer.was_cut_off(evse.run.over_at)
    return not is_started and not is_cycle and (not is_card or _names_cable(fact))


def _occupied(live: Live, evse: EvseLive, fact: StatusReported, *, is_again: bool) -> Iterator[changes.Change]:
    if is_again or (evse.cable.plugged is not None and _was_free(evse, fact)):
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
    if _names_cable(fact):
        return True
    return fact.origin.received_at - station.card_shown_at > CARD_BEFORE_CABLE


def _names_cable(fact: StatusReported) -> bool:
    return any(hint in fact.info.lower() for hint in _PLUG_HINTS)


def statuses(live: Live, fact: StatusesReported, _committed: changes.Committed) -> Iterator[changes.Change]:
    for one in fact.statuses:
        yield from status(live, one, changes.Committed())


def plug_in(evse: EvseLive, connector: int, at: datetime, by: IdToken | None = None) -> Iterator[changes.Change]:
    id_ = PlugInId(f"{at:%Y%m%dT%H%M%S}-{secrets.token_hex(6)}")
    evse.cable.plugged = PlugIn(id=id_, evse=evse.ref, connector=connector, plugged_at=at)
    evse.cable.available_since = evse.cable.free_at = evse.cable.other_since = None
    if evse.meter.needs is not None and evse.meter.needs.origin.received_at < at:
        evse.meter.needs = None  # of another vehicle, or of none: this one's cable was not in
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
    """The vehicle left ``at``, as its transaction tells. A cable that went in since is the next vehicle's; one that is
    in another connector may be, if it stays: some stations call all connectors of an EVSE occupied while one is."""
    other = _at_other_connector(evse)
    yield from unplug(evse, at)
    newest = max(evse.cable.statuses.values(), key=held_at, default=None)
    if newest is not None and held_at(newest) > at and newest.status in NEXT:
        yield from plug_in(evse, newest.connector, held_at(newest))
    elif other is not None:
        evse.cable.other_since = at


def gone(evse: EvseLive, at: datetime) -> Iterator[changes.Change]:
    """The connector has been free since ``at`` and is believed. A cable that is in another connector of the EVSE all
    the same is the next vehicle's."""
    other = _at_other_connector(evse)
    yield from unplug(evse, at)
    if other is not None:
        yield from plug_in(evse, other.connector, max(held_at(other), at))


def seen_at_other(evse: EvseLive, at: datetime) -> Iterator[changes.Change]:
    """A cable has stayed in another connector since the vehicle before left ``at``."""
    evse.cable.other_since = None
    other = _at_other_connector(evse)
    if evse.cable.plugged is None and evse.run.transaction is None and other is not None:
        yield from plug_in(evse, other.connector, max(held_at(other), at))


def _at_other_connector(evse: EvseLive) -> StoredStatus | None:
    """The newest status of a connector in use that is not the plug-in's."""
    plugged = evse.cable.plugged
    here = plugged.connector if plugged is not None else None
    in_use = [one for one in evse.cable.statuses.values() if one.status in NEXT and one.connector != here]
    return max(in_use, key=held_at, default=None)


NEXT = IN_TRANSACTION | {ConnectorStatus.PREPARING, ConnectorStatus.OCCUPIED}


def card(live: Live, fact: AuthorizeAsked, committed: changes.Committed) -> Iterator[changes.Change]:
    station = live.station(fact.origin.station)
    if station is None or not committed.token_accepted:
        return
    station.card_accepted_at = fact.origin.received_at
    for evse in station.evses.values():
        if evse.cable.plugged is not None:
            yield changes.CardShown(evse, fact.token)
    shown = {fact.token.key, *((committed.group.strip().upper(),) if committed.group else ())}
    if any(_ends(evse, shown, committed.holder) for evse in station.evses.values()):
        return  # who is charging comes back to stop it, and is not the one who waits at the next connector
    waiting = [evse for evse in station.evses.values() if evse.cable.plugged and not evse.run.authorized]
    if not waiting:  # else the card is for the vehicle that waits, and explains no other connector's Preparing
        station.card_shown_at = fact.origin.received_at
    is_one_free = any(not evse.is_in_use for evse in station.evses.values())
    if len(waiting) == 1 and not is_one_free:  # 1.6 does not say at which EVSE; some show the card before the cable
        yield changes.TokenShown(waiting[0], fact.token)


def _ends(evse: EvseLive, shown: set[str], holder: UserId | None) -> bool:
    """Whether a card may be shown to end what runs here: the one it began with, one of its group, its user's."""
    if evse.run.transaction is None or not evse.run.authorized:
        return False
    return not shown.isdisjoint(evse.run.tokens) or (holder is not None and holder == evse.user)
