"""The provisioned stations: added, changed, shown. Requirement G4; scenario 3 of the test cases."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import StationLive
from csms.control.stations.admission import Admission
from csms.control.stations.credentials import Passwords, hash_password, new_password
from csms.control.stations.setup import QuirksFor
from csms.control.stations.views import StationView, station_view
from csms.domain.commands import Trigger, TriggerKind
from csms.domain.errors import BadRequest, Conflict, NotFound
from csms.domain.ids import EvseRef, SiteId, StationId
from csms.domain.ports import Stations
from csms.domain.station import BootState, Station
from csms.store import writes

log = structlog.get_logger()


class Registry:
    """Which stations there are. What it says is durable when it returns."""

    def __init__(
        self,
        ground: Ground,
        stations: Stations,
        admission: Admission,
        passwords: Passwords,
        quirks_for: QuirksFor,
        sites: Iterable[SiteId],
    ) -> None:
        self._ground = ground
        self._live = ground.live
        self._stations = stations
        self._admission = admission
        self._passwords = passwords
        self._quirks_for = quirks_for
        self._sites = tuple(sites)

    def view(self, id_: StationId) -> StationView:
        """One station now. Raises NotFound."""
        return station_view(self._station(id_), self._ground.clock.now())

    def views(self) -> list[StationView]:
        """All stations now."""
        return [station_view(live, self._ground.clock.now()) for live in self._live.stations.values()]

    async def add(self, station: Station, password: str, *, is_made: bool = False) -> StationView:
        """Provision a station. ``is_made``: the password is one of ``new_password``, not one that somebody chose.
        Conflict: it exists; BadRequest: an unknown site, or the password."""
        if station.id in self._live.stations:
            raise Conflict(f"station {station.id} exists already", field="id")
        if station.site not in self._sites:
            known = ", ".join(self._sites)
            raise BadRequest(f"there is no site {station.site}; the configuration has {known}", field="site")
        kept = await self._kept(station.id, password, is_made=is_made)
        await self._ground.store.writer.run(partial(writes.upsert_station, station=station, password_hash=kept))
        self._admission.keep(station.id, kept)
        added = self._live.add(station, self._quirks_for(None, station))
        self._ground.emit(changes.FleetChanged(added))
        return station_view(added, self._ground.clock.now())

    async def change(self, id_: StationId, registration: BootState | None, password: str | None) -> StationView:
        """Change what is given. NotFound: no such station.

        A station whose registration changed is asked to boot, so that it hears of it.
        """
        live = self._station(id_)
        kept = await self._kept(id_, password) if password else None
        await self._save(id_, kept, registration=registration)
        known = live.station.registration
        self._live.add(replace(live.station, registration=registration or known), live.quirks)
        if registration not in {None, known}:
            self._ground.spawn(self._ask_to_boot(id_))
        return station_view(live, self._ground.clock.now())

    async def change_evse(self, ref: EvseRef, changed: Mapping[str, Any]) -> StationView:
        """Change the fields of an EVSE that are given, by their names; of two who change another field each, each has
        it changed. NotFound: no such station or EVSE."""
        live = self._station(ref.station)
        _with_changed(live.station, ref, changed)
        await self._ground.store.writer.run(partial(writes.change_evse, evse=ref, changed=changed))
        before = _approved(live.station)
        self._live.add(_with_changed(live.station, ref, changed), live.quirks)
        if _approved(live.station) != before:
            self._ground.emit(changes.FleetChanged(live))
        return station_view(live, self._ground.clock.now())

    async def change_quirks(self, id_: StationId, quirks: Mapping[str, Any]) -> StationView:
        """Its operator's own record of its ways, whole: what is not in it is as for its model. Holds at once for what
        it is told, and for what it says from its next connection on. Raises NotFound."""
        live = self._station(id_)
        await self._save(id_, None, quirks=quirks)
        station, before = replace(live.station, quirks=quirks), live.quirks
        self._live.add(station, self._quirks_for(live.version or station.version, station))
        if before.driver is not live.quirks.driver:
            self._ground.emit(changes.DriverChanged(live))
        return station_view(live, self._ground.clock.now())

    async def renew_password(self, id_: StationId) -> str:
        """A made password instead of the one it had, which no longer lets it in. Raises NotFound."""
        made = new_password()
        await self._save(self._station(id_).station.id, self._passwords.of_made(id_, made))
        return made

    async def _kept(self, id_: StationId, password: str, *, is_made: bool = False) -> str:
        return self._passwords.of_made(id_, password) if is_made else await asyncio.to_thread(hash_password, password)

    async def _save(self, id_: StationId, kept: str | None, **changed: Any) -> None:
        """``kept``: of its new password, if it gets one."""
        work = partial(writes.change_station, station=id_, password_hash=kept, **changed)
        await self._ground.store.writer.run(work)
        if kept is not None:
            self._admission.keep(id_, kept)

    async def _ask_to_boot(self, id_: StationId) -> None:
        boot = Trigger(evse=EvseRef(id_, 0), kind=TriggerKind.BOOT)
        log.info("station.asked", station=id_, outcome=repr(await self._stations.send(boot)))

    def _station(self, id_: StationId) -> StationLive:
        live = self._live.station(id_)
        if live is None:
            raise NotFound(f"there is no station {id_}; add it with POST /api/v1/stations", field="station")
        return live


def _approved(station: Station) -> set[EvseRef]:
    return {evse.ref for evse in station.evses if evse.approved}


def _with_changed(station: Station, ref: EvseRef, changed: Mapping[str, Any]) -> Station:
    """Taken of what the station is now: it may have shown another EVSE, or booted, while the change was stored."""
    if ref not in {evse.ref for evse in station.evses}:
        raise NotFound(f"station {station.id} has no EVSE {ref.evse}", field="evse")
    evses = tuple(replace(evse, **changed) if evse.ref == ref else evse for evse in station.evses)
    return replace(station, evses=evses)
