"""Which stations may connect: known id, right password. Implements ports.Admission; V2G-43.

Whoever knows the password is let in, whatever others try: only wrong tries are limited, by where they come from.
"""

import asyncio
import hashlib
import hmac
import secrets
from functools import partial

import structlog

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.stations.credentials import Passwords
from csms.control.stations.logins import Logins, Turn, source_of
from csms.domain.ids import EvseRef, SiteId, StationId
from csms.domain.ports import Admitted, Refused
from csms.domain.station import Evse, Quirks, Station
from csms.settings import Ocpp, Security
from csms.store import reads, writes

log = structlog.get_logger()

SLOW_CHECKS_AT_ONCE = 2
"""They use a core each; the rest of the server has to live beside them."""


class Admission:
    """Knows what is kept of every password; slow checks run off the event loop, and what was right is remembered."""

    def __init__(self, ground: Ground, ocpp: Ocpp, security: Security, passwords: Passwords) -> None:
        self._store = ground.store
        self._live = ground.live
        self._emit = ground.emit
        self._ocpp = ocpp
        self._passwords = passwords
        self._logins = Logins(security.failures_per_minute, ground.clock)
        self._slowly = asyncio.Semaphore(SLOW_CHECKS_AT_ONCE)
        self._kept: dict[StationId, str] = {}
        self._key = secrets.token_bytes(32)
        self._right: dict[StationId, bytes] = {}
        self._checking: set[asyncio.Future[bool]] = set()

    async def load(self) -> None:
        """Read what is kept of the passwords: a fleet that returns asks the database nothing."""
        self._kept = await self._store.read(reads.password_hashes)
        self._right.clear()

    def keep(self, id_: StationId, kept: str) -> None:
        """The station has another password, which is stored."""
        self._kept[id_] = kept
        self._right.pop(id_, None)

    async def admit(self, station: str, user: str | None, password: bytes | None, source: str) -> Admitted | Refused:
        id_, source = StationId(station), source_of(source)
        if id_ not in self._live.stations:
            if not self._ocpp.auto_register:
                return self._refused(id_, source, 404, "unknown station")
            await self._register(id_)
        kept = self._kept.get(id_)
        if kept is not None:  # without one: security profile 0, the operator's explicit choice
            if password is None or user != id_:
                return self._refused(id_, source, 401, "no password")
            if self._passwords.is_made(kept):
                if not self._passwords.fits(kept, id_, password):
                    return self._refused(id_, source, 401, "wrong password")
            elif (refused := await self._checked_slowly(kept, id_, password, source)) is not None:
                return refused
        live = self._live.stations[id_]
        return Admitted(
            station=id_, quirks=live.quirks, boot_state=live.station.boot_state, own_ways=live.station.own_ways
        )

    async def _checked_slowly(self, kept: str, id_: StationId, password: bytes, source: str) -> Refused | None:
        """A chosen password; at once where it was right before."""
        if hmac.compare_digest(self._right.get(id_, b""), self._mark(password)):
            return None
        turn = await self._logins.enter(source, id_)
        if turn is None:
            return Refused(429)
        # To its end even when the station hangs up meanwhile: its next try is then answered at once.
        checking = asyncio.ensure_future(self._check(kept, id_, password, turn))
        self._checking.add(checking)
        checking.add_done_callback(self._checking.discard)
        if await asyncio.shield(checking):
            return None
        return Refused(429) if turn.is_late else self._told(id_, source, 401, "wrong password")

    async def _check(self, kept: str, id_: StationId, password: bytes, turn: Turn) -> bool:
        fits = False
        try:
            async with self._slowly:
                fits = await asyncio.to_thread(self._passwords.fits, kept, id_, password)
        finally:
            self._logins.leave(turn, failed=not fits)
        if fits and self._kept.get(id_) == kept:
            self._right[id_] = self._mark(password)
        return fits

    def _mark(self, password: bytes) -> bytes:
        return hmac.digest(self._key, password, hashlib.sha256)

    async def _register(self, id_: StationId) -> None:
        site = SiteId(self._ocpp.auto_register_site)
        station = Station(id=id_, site=site, evses=(Evse(ref=EvseRef(id_, 1), site=site),))
        await self._store.writer.run(partial(writes.upsert_station, station=station, password_hash=None))
        self._emit(changes.FleetChanged(self._live.add(station, Quirks())))
        log.info("station.registered", station=id_)

    def _refused(self, id_: StationId, source: str, status: int, why: str) -> Refused:
        """Counts, and tells from the try on that is over the limit to wait."""
        if self._logins.is_limited(source):
            return Refused(429)
        self._logins.failed(source)
        return self._told(id_, source, status, why)

    def _told(self, id_: StationId, source: str, status: int, why: str) -> Refused:
        """In the log, up to the limit of each source: nobody fills it."""
        log.warning("station.refused", station=id_, source=source, why=why, limited=self._logins.is_limited(source))
        return Refused(status)
