"""What is written about stations."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, update

from csms.domain.facts import Booted
from csms.domain.ids import EvseRef, StationId
from csms.domain.station import BootState, Evse, Station, Version
from csms.store.sql import insert_new, upsert
from csms.store.tables import BOOT, CALL_LOG, EVSE, STATION
from csms.store.values import micros, plain_json


def upsert_station(conn: Connection, station: Station, password_hash: str | None) -> None:
    """Provision a station, or provision it anew: its site, host, EVSEs and (unless None) password.

    What it said about itself (version, boot, model …) is only written when it is new; later by ``save_boot``.
    """
    changed = ["site", "host", "registration", "quirks", *(() if password_hash is None else ("password_hash",))]
    upsert(conn, STATION, _station_row(station) | {"password_hash": password_hash}, changed)
    kept = [evse.ref.evse for evse in station.evses]
    conn.execute(delete(EVSE).where(EVSE.c.station == station.id, EVSE.c.evse.not_in(kept)))
    for evse in station.evses:
        upsert(conn, EVSE, _evse_row(evse))


def change_station(
    conn: Connection,
    station: StationId,
    registration: BootState | None = None,
    password_hash: str | None = None,
    quirks: Mapping[str, Any] | None = None,
) -> None:
    """Write what is given and nothing else: another change may be on its way, which nobody here knows of yet."""
    said = {
        "registration": registration.value if registration else None,
        "password_hash": password_hash,
        "quirks": None if quirks is None else plain_json(dict(quirks)),
    }
    given = {name: value for name, value in said.items() if value is not None}
    if given:
        conn.execute(update(STATION).where(STATION.c.id == station).values(given))


def change_evse(conn: Connection, evse: EvseRef, changed: Mapping[str, Any]) -> None:
    """The same for fields of an EVSE, by their names in ``Evse``."""
    given = dict(changed)
    if "allowed" in given:
        given["allowed"] = plain_json(list(given["allowed"]))
    if given:
        here = (EVSE.c.station == evse.station) & (EVSE.c.evse == evse.evse)
        conn.execute(update(EVSE).where(here).values(given))


def add_evses(conn: Connection, evses: Iterable[Evse]) -> None:
    """Those of a known station that are not stored yet."""
    for evse in evses:
        insert_new(conn, EVSE, _evse_row(evse))


def _station_row(station: Station) -> dict[str, Any]:
    return {
        "id": station.id,
        "site": station.site,
        "host": station.host,
        "version": station.version.value if station.version else None,
        "registration": station.registration.value,
        "boot_state": station.boot_state.value,
        "vendor": station.vendor,
        "model": station.model,
        "serial": station.serial,
        "firmware": station.firmware,
        "last_heard_at": micros(station.last_heard_at),
        "quirks": plain_json(dict(station.quirks)),
        "learnt": plain_json(dict(station.learnt)),
    }


def _evse_row(evse: Evse) -> dict[str, Any]:
    ratings = evse.ratings
    return {
        "station": evse.ref.station,
        "evse": evse.ref.evse,
        "site": evse.site,
        "connectors": evse.connectors,
        "public": evse.public,
        "on_refusal": evse.on_refusal,
        "on_no_answer": evse.on_no_answer,
        "allowed": plain_json(list(evse.allowed)),
        "current": ratings.current.value,
        "phases": ratings.phases,
        "voltage_v": ratings.voltage_v,
        "max_charge_w": ratings.max_charge_w,
        "min_charge_w": ratings.min_charge_w,
        "max_discharge_w": ratings.max_discharge_w,
        "approved": evse.approved,
    }


def save_boot(conn: Connection, fact: Booted, version: Version, state: BootState) -> None:
    """Store a BootNotification, the version of its connection and how it was answered."""
    said = {
        "version": version.value,
        "vendor": fact.vendor,
        "model": fact.model,
        "serial": fact.serial,
        "firmware": fact.firmware,
    }
    origin = {"station": fact.origin.station, "message_id": fact.origin.message_id}
    received_at = micros(fact.origin.received_at)
    row = said | origin | {"received_at": received_at, "reason": fact.reason, "state": state.value}
    insert_new(conn, BOOT, row)
    known = said | {"boot_state": state.value, "last_heard_at": received_at}
    conn.execute(update(STATION).where(STATION.c.id == fact.origin.station).values(known))


def save_learnt(conn: Connection, station: StationId, learnt: Mapping[str, Any]) -> None:
    """What a station has shown of its ways."""
    conn.execute(update(STATION).where(STATION.c.id == station).values(learnt=plain_json(dict(learnt))))


def save_failsafe_limit(conn: Connection, station: StationId, limit_w: int) -> None:
    """What a station said yes to, W per EVSE: it keeps it through our restarts and its own."""
    conn.execute(update(STATION).where(STATION.c.id == station).values(failsafe_limit_w=limit_w))


def save_set_up(conn: Connection, station: StationId, set_up_as: str | None) -> None:
    """Which set-up a station took, as which station; None = it is to be set up anew."""
    conn.execute(update(STATION).where(STATION.c.id == station).values(set_up_as=set_up_as))


def touch_stations(conn: Connection, heard: Mapping[StationId, datetime]) -> None:
    """When stations were last heard."""
    if heard:
        touch = update(STATION).where(STATION.c.id == bindparam("station")).values(last_heard_at=bindparam("heard_at"))
        conn.execute(touch, [{"station": station, "heard_at": micros(at)} for station, at in heard.items()])


def save_call(  # noqa: PLR0913, PLR0917  one column each
    conn: Connection,
    station: StationId,
    action: str,
    payload: Mapping[str, Any],
    outcome_text: str,
    at: datetime,
    by: str,
) -> None:
    """A call made by hand, how it ended and who made it."""
    row = {
        "station": station,
        "action": action,
        "payload": plain_json(dict(payload)),
        "outcome": outcome_text,
        "at": micros(at),
        "by": by,
    }
    conn.execute(CALL_LOG.insert(), row)
