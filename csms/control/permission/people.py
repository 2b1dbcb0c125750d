"""Drivers, their vehicles and terminals. Requirement P1; V2G-27."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from csms.control.permission.link_codes import HOLDS, hash_code, new_code
from csms.control.state.feed import Feed
from csms.control.state.ground import Ground
from csms.control.state.id_tokens import IdTokens
from csms.domain.errors import Forbidden, NotFound
from csms.domain.ids import EvseRef, StationId, UserId, VehicleId
from csms.domain.people import Terminal, User, Vehicle
from csms.settings import Settings
from csms.store import Store, reads, writes

LINK_SECRET = "link"  # noqa: S105  the name it is stored under


def hash_token(token: str) -> str:
    """What is kept of a random token: its digest. It has 256 bits of its own, so no salt and no slowness are needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token() -> str:
    """What a terminal is known by."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCode:
    """A short code as its maker is shown it, once."""

    code: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A further terminal of a known user: ``terminal_token`` is shown once, only its hash is kept."""

    user: User
    terminal_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A new driver: ``terminal_token`` is shown once, only its hash is kept."""

    user: User
    vehicle: Vehicle
    terminal_token: str


class People:
    """Drivers, their vehicles and terminals. What it says is durable when it returns."""

    def __init__(self, ground: Ground, tokens: IdTokens, feed: Feed) -> None:
        self._tokens = tokens
        self._store = ground.store
        self._clock = ground.clock
        self._feed = feed

    async def register(self, name: str, vehicle: Vehicle, language: str) -> Registered:
        """A new driver with a vehicle and the terminal they hold; ``vehicle.id`` and ``vehicle.user`` are set here."""
        now = self._clock.now()
        user = User(id=UserId(f"u-{secrets.token_hex(8)}"), name=name, language=language, created_at=now)
        owned, token = _owned(vehicle, user.id), new_token()

        def write(conn: Any) -> None:
            writes.add_user(conn, user=user)
            writes.add_vehicle(conn, vehicle=owned)
            writes.add_terminal(conn, token_hash=hash_token(token), user=user.id, at=now)

        await self._store.writer.run(write)
        return Registered(user=user, vehicle=owned, terminal_token=token)

    async def of_terminal(self, token: str) -> User | None:
        """Who holds this terminal; None when it is not known."""
        id_ = await self._store.look_up(partial(reads.terminal_user, token_hash=hash_token(token)))
        return None if id_ is None else await self._store.look_up(partial(reads.user, id=id_))

    async def terminals(self, user: UserId) -> list[Terminal]:
        """Those linked to a user, the oldest first."""
        return await self._store.read(partial(reads.terminals, user=user))

    async def revoke_terminal(self, user: UserId, id_: str) -> None:
        """Unlink one; whatever it shows ends at once. NotFound: the user has no such terminal."""
        found = next((each for each in await self.terminals(user) if each.id == id_), None)
        work = partial(writes.revoke_terminal, user=user, token_hash=found.token_hash if found else "")
        if not await self._store.writer.run(work):
            raise NotFound(f"there is no terminal {id_} of yours", field="terminal")
        self._feed.changed(user)

    async def new_code(self, user: UserId, vehicle: VehicleId | None = None) -> LinkCode:
        """A short code for another terminal of this user or, with ``vehicle``, for another user of their vehicle."""
        if vehicle is not None:
            await self._check_owner(user, vehicle)
        code, now = new_code(), self._clock.now()
        hashed = await asyncio.to_thread(hash_code, code)
        expires_at = now + HOLDS
        await self._store.writer.run(
            partial(writes.add_link_code, code_hash=hashed, user=user, vehicle=vehicle, at=now, expires_at=expires_at)
        )
        return LinkCode(code=code, expires_at=expires_at)

    async def link_terminal(self, code: str, name: str) -> Linked:
        """A further terminal for whoever made this code; the code is used up. NotFound: it is not valid now."""
        hashed, now, token = await asyncio.to_thread(hash_code, code), self._clock.now(), new_token()

        def write(conn: Any) -> UserId | None:
            taken = writes.take_link_code(conn, hashed, now, for_vehicle=False)
            if taken is None:
                return None
            writes.add_terminal(conn, token_hash=hash_token(token), user=taken[0], at=now, name=name)
            return taken[0]

        user = await self._store.writer.run(write)
        known = None if user is None else await self._store.read(partial(reads.user, id=user))
        if known is None:
            raise _bad_code()
        self._feed.changed(known.id)
        return Linked(user=known, terminal_token=token)

    async def join_vehicle(self, user: UserId, code: str) -> Vehicle:
        """Share the vehicle whose owner made this code; the code is used up. NotFound: it is not valid now."""
        hashed, now = await asyncio.to_thread(hash_code, code), self._clock.now()

        def write(conn: Any) -> VehicleId | None:
            taken = writes.take_link_code(conn, hashed, now, for_vehicle=True)
            if taken is None or taken[1] is None:
                return None
            if taken[0] != user:  # who types the own code has it already
                writes.share_vehicle(conn, vehicle=taken[1], user=user)
            return taken[1]

        joined = await self._store.writer.run(write)
        vehicle = next((each for each in await self.vehicles(user) if each.id == joined), None)
        if vehicle is None:
            raise _bad_code()
        self._feed.changed(user)
        return vehicle

    async def vehicles(self, user: UserId) -> list[Vehicle]:
        """A user's own and those that are shared with them."""
        return await self._store.read(partial(reads.vehicles, user=user))

    async def add_vehicle(self, user: UserId, vehicle: Vehicle) -> Vehicle:
        """A further vehicle; ``vehicle.id`` and ``vehicle.user`` are set here."""
        owned = _owned(vehicle, user)
        await self._store.writer.run(partial(writes.add_vehicle, vehicle=owned))
        self._feed.changed(user)
        return owned

    async def change_vehicle(self, user: UserId, id_: VehicleId, changed: Mapping[str, Any]) -> Vehicle:
        """Other particulars; what is not given stays as another phone has set it. NotFound: it is none of the user's;
        Forbidden: it is shared with them only."""
        await self._check_owner(user, id_)
        await self._store.writer.run(partial(writes.change_vehicle, vehicle=id_, changed=changed))
        self._feed.changed(user)
        return await self._check_owner(user, id_)

    async def owns(self, user: UserId, id_: VehicleId) -> bool:
        """Whether it is the user's own, not only shared with them. NotFound: it is none of theirs."""
        return (await self._check_user(user, id_)).user == user

    async def sharers(self, owner: UserId, id_: VehicleId) -> list[User]:
        """Those who use a vehicle besides its owner. NotFound, Forbidden as in ``change_vehicle``."""
        await self._check_owner(owner, id_)
        ids = await self._store.read(partial(reads.vehicle_users, vehicle=id_))
        found = [await self._store.read(partial(reads.user, id=user)) for user in ids]
        return [user for user in found if user is not None]

    async def write(self, work: Callable[[Any], None]) -> None:
        """One action, one write; durable when it returns."""
        await self._store.writer.run(work)

    def unshared(self, vehicle: VehicleId, user: UserId) -> None:
        """Their cards say no more that they come with it."""
        for record in tuple(self._tokens.records.values()):
            if (record.user, record.vehicle) == (user, vehicle):
                self._tokens.put(replace(record, vehicle=None))
        self._feed.changed(user)

    async def check_vehicle(self, user: UserId, id_: VehicleId) -> VehicleId:
        """The same id. NotFound: it is none of the user's."""
        return (await self._check_user(user, id_)).id

    async def _check_user(self, user: UserId, id_: VehicleId) -> Vehicle:
        found = next((each for each in await self.vehicles(user) if each.id == id_), None)
        if found is None:
            raise NotFound(f"there is no vehicle {id_} of yours", field="vehicle")
        return found

    async def _check_owner(self, user: UserId, id_: VehicleId) -> Vehicle:
        found = await self._check_user(user, id_)
        if found.user != user:
            raise Forbidden("this vehicle is shared with you; its owner may change and share it", field="vehicle")
        return found


def _owned(vehicle: Vehicle, user: UserId) -> Vehicle:
    return replace(vehicle, id=VehicleId(f"v-{secrets.token_hex(8)}"), user=user)


def _bad_code() -> NotFound:
    return NotFound("this code is not valid; make a new one: it holds for ten minutes, once", field="code")


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
