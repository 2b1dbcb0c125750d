"""Drivers, their vehicles and terminals. Requirement P1; V2G-27."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from csms.domain.ids import EvseRef, StationId, UserId, VehicleId
from csms.domain.people import User, Vehicle
from csms.domain.ports import Clock
from csms.settings import Settings
from csms.store import Store, reads, writes

LINK_SECRET = "link"  # noqa: S105  the name it is stored under


def hash_token(token: str) -> str:
    """What is kept of a random token: its digest. It has 256 bits of its own, so no salt and no slowness are needed."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A new driver: ``terminal_token`` is shown once, only its hash is kept."""

    user: User
    vehicle: Vehicle
    terminal_token: str


class People:
    """Registers drivers and knows them again by their terminal."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def register(self, name: str, vehicle: Vehicle, language: str) -> Registered:
        """A new driver with a vehicle and the terminal they hold; ``vehicle.id`` and ``vehicle.user`` are set here."""
        now = self._clock.now()
        user = User(id=UserId(f"u-{secrets.token_hex(8)}"), name=name, language=language, created_at=now)
        owned = Vehicle(
            id=VehicleId(f"v-{secrets.token_hex(8)}"),
            user=user.id,
            name=vehicle.name,
            capacity_wh=vehicle.capacity_wh,
            max_charge_w=vehicle.max_charge_w,
            max_discharge_w=vehicle.max_discharge_w,
            charge_efficiency=vehicle.charge_efficiency,
            discharge_efficiency=vehicle.discharge_efficiency,
        )
        token = secrets.token_urlsafe(32)

        def write(conn: Any) -> None:
            writes.add_user(conn, user=user)
            writes.add_vehicle(conn, vehicle=owned)
            writes.add_terminal(conn, token_hash=hash_token(token), user=user.id, at=now)

        await self._store.writer.run(write)
        return Registered(user=user, vehicle=owned, terminal_token=token)

    async def of_terminal(self, token: str) -> User | None:
        """Who holds this terminal; None when it is not known."""
        id_ = await self._store.read(partial(reads.terminal_user, token_hash=hash_token(token)))
        return None if id_ is None else await self._store.read(partial(reads.user, id=id_))


class Links:
    """Signed links of EVSEs: what the QR code on the box says. A link names a place, it opens nothing by itself."""

    def __init__(self, secret: str, settings: Settings) -> None:
        self._secret = secret.encode()
        http = settings.http
        host = "localhost" if http.host in ("0.0.0.0", "::") else http.host
        self._origin = (http.public_url or f"http://{host}:{http.port}").rstrip("/")

    def of(self, evse: EvseRef) -> str:
        return f"{self._origin}/d/e/{quote(evse.station, safe='')}/{evse.evse}?s={self._signature(evse)}"

    def evse(self, station: str, evse: int, signature: str) -> EvseRef | None:
        """The EVSE of a link; None when the signature is not ours."""
        ref = EvseRef(StationId(station), evse)
        return ref if hmac.compare_digest(self._signature(ref), signature) else None

    def _signature(self, evse: EvseRef) -> str:
        return hmac.new(self._secret, str(evse).encode(), hashlib.sha256).hexdigest()[:24]


async def link_secret(store: Store, configured: str) -> str:
    """The configured secret, or the one made at the first start."""
    if configured:
        return configured
    stored = await store.read(partial(reads.secret, name=LINK_SECRET))
    if stored is not None:
        return stored
    made = secrets.token_hex(32)
    await store.writer.run(partial(writes.put_secret, name=LINK_SECRET, value=made))
    return made
