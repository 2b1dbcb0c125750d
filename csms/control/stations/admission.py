"""Which stations may connect: known id, right password, not too many tries. Implements ports.Admission; V2G-43."""

import asyncio
import hashlib
import hmac
import secrets
from collections import deque
from datetime import datetime, timedelta
from functools import partial

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.domain.errors import BadRequest
from csms.domain.ids import EvseRef, SiteId, StationId
from csms.domain.ports import Admitted, Refused
from csms.domain.station import Evse, Quirks, Station
from csms.settings import Ocpp, Security
from csms.store import reads, writes

log = structlog.get_logger()

HASHER = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1)
"""Stations' passwords are long and random; this costs about 5 ms, once per station and start."""

MINUTE = timedelta(minutes=1)
MOST_NAMES = 10_000
"""Failures are counted for so many names at a time: names come from outside."""


def hash_password(password: str) -> str:
    """Salted hash of a station's password; at least 16 characters (OCPP 2.x A00.FR.205)."""
    if not 16 <= len(password.encode()) <= 64:
        raise BadRequest("password: give 16 to 64 characters", field="password")
    return HASHER.hash(password)


def spellings(password: bytes) -> list[bytes]:
    """The forms one secret comes in: as sent, its hex digits decoded, its bytes as hex (V2G-43)."""
    forms = [password, password.hex().encode(), password.hex().upper().encode()]
    if len(password) % 2 == 0 and all(byte in b"0123456789abcdefABCDEF" for byte in password):
        forms.append(bytes.fromhex(password.decode()))
    return forms


class Admission:
    """Checks credentials off the event loop, and remembers what was right so that a reconnect costs nothing."""

    def __init__(self, ground: Ground, ocpp: Ocpp, security: Security) -> None:
        self._store = ground.store
        self._live = ground.live
        self._clock = ground.clock
        self._emit = ground.emit
        self._ocpp = ocpp
        self._security = security
        self._key = secrets.token_bytes(32)
        self._right: dict[StationId, bytes] = {}
        self._failures: dict[str, deque[datetime]] = {}

    async def admit(self, station: str, user: str | None, password: bytes | None) -> Admitted | Refused:
        id_ = StationId(station)
        if self._is_locked(station) and not self._was_right(id_, password):
            return Refused(429)
        if id_ not in self._live.stations:
            if not self._ocpp.auto_register:
                self._failed(station)
                return Refused(404)
            await self._register(id_)
        elif not await self._is_right(id_, user, password):
            self._failed(station)
            return Refused(401)
        live = self._live.stations[id_]
        return Admitted(station=id_, quirks=live.quirks, boot_state=live.station.boot_state)

    async def _is_right(self, id_: StationId, user: str | None, password: bytes | None) -> bool:
        stored = await self._store.read(partial(reads.password_hash, id=id_))
        if stored is None:
            return True  # provisioned without a password: security profile 0, the operator's explicit choice
        if password is None or user != id_:
            return False
        if self._was_right(id_, password):
            return True
        if not await asyncio.to_thread(_matches, stored, password):
            return False
        self._right[id_] = self._mark(password)
        return True

    def _was_right(self, id_: StationId, password: bytes | None) -> bool:
        return password is not None and hmac.compare_digest(self._right.get(id_, b""), self._mark(password))

    def _mark(self, password: bytes) -> bytes:
        return hmac.digest(self._key, password, hashlib.sha256)

    def forget(self, id_: StationId) -> None:
        """The password has changed."""
        self._right.pop(id_, None)

    async def _register(self, id_: StationId) -> None:
        site = SiteId(self._ocpp.auto_register_site)
        station = Station(id=id_, site=site, evses=(Evse(ref=EvseRef(id_, 1), site=site),))
        await self._store.writer.run(partial(writes.upsert_station, station=station, password_hash=None))
        self._emit(changes.FleetChanged(self._live.add(station, Quirks())))
        log.info("station.registered", station=id_)

    def _failed(self, station: str) -> None:
        if len(self._failures) >= MOST_NAMES:
            self._failures.clear()
        self._failures.setdefault(station, deque(maxlen=self._security.failures_per_minute)).append(self._clock.now())
        log.warning("station.refused", station=station)

    def _is_locked(self, station: str) -> bool:
        """Too many failures within the last minute; only the rate is limited, no account is locked."""
        tries = self._failures.get(station)
        full = tries is not None and len(tries) == tries.maxlen
        return full and tries is not None and self._clock.now() - tries[0] < MINUTE


def _matches(stored: str, password: bytes) -> bool:
    return any(_verifies(stored, form) for form in spellings(password))


def _verifies(stored: str, form: bytes) -> bool:
    try:
        return HASHER.verify(stored, form)
    except (VerificationError, InvalidHashError):
        return False
