"""What is kept of a station's password, and whether one fits it. V2G-43; OCPP 2.x A00.FR.205.

A password that the server made has 128 random bits: nobody guesses it, so a keyed hash is enough, and a fleet that
returns costs microseconds a station. One that an operator chose may be weak: it is kept by argon2.
"""

import hashlib
import hmac
import secrets
from functools import partial
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from csms.domain.errors import BadRequest
from csms.domain.ids import StationId
from csms.store import Store, writes

HASHER: Final = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1)
"""About 5 ms, once per station and start."""

MADE_PREFIX: Final = "hmac-sha256$"
MADE_BYTES: Final = 16
KEY_NAME: Final = "station-passwords"


def new_password() -> str:
    """128 random bits as 32 hex digits: a 1.6 AuthorizationKey as well as a 2.x BasicAuthPassword."""
    return secrets.token_hex(MADE_BYTES)


def hash_password(password: str) -> str:
    """What is kept of a chosen password: a salted slow hash; at least 16 characters (OCPP 2.x A00.FR.205)."""
    if not 16 <= len(password.encode()) <= 64:
        raise BadRequest("password: give 16 to 64 characters", field="password")
    return HASHER.hash(password)


def spellings(password: bytes) -> list[bytes]:
    """The forms one secret comes in: as sent, its hex digits decoded, its bytes as hex (V2G-43)."""
    forms = [password, password.hex().encode(), password.hex().upper().encode()]
    if len(password) % 2 == 0 and all(byte in b"0123456789abcdefABCDEF" for byte in password):
        forms.append(bytes.fromhex(password.decode()))
    return forms


class Passwords:
    """Keeps and checks passwords under the server's key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of_made(self, id_: StationId, password: str) -> str:
        """What is kept of a password from ``new_password``."""
        return MADE_PREFIX + self._mark(id_, password.encode())

    def is_made(self, kept: str) -> bool:
        """Whether a check costs microseconds."""
        return kept.startswith(MADE_PREFIX)

    def fits(self, kept: str, id_: StationId, password: bytes) -> bool:
        """Whether the password is the one that was kept. Some 10 µs for a made one; 5 to 20 ms, off the event loop,
        for a chosen one."""
        if self.is_made(kept):
            return any(hmac.compare_digest(kept, MADE_PREFIX + self._mark(id_, form)) for form in spellings(password))
        return any(_verifies(kept, form) for form in spellings(password))

    def _mark(self, id_: StationId, password: bytes) -> str:
        return hmac.digest(self._key, id_.encode() + b"\0" + password, hashlib.sha256).hex()


def _verifies(kept: str, form: bytes) -> bool:
    try:
        return HASHER.verify(kept, form)
    except (VerificationError, InvalidHashError):
        return False


async def server_key(store: Store) -> bytes:
    """The key that made passwords are kept under; made at the first start."""
    return key_of(await store.writer.run(partial(writes.secret_once, name=KEY_NAME, value=secrets.token_hex(32))))


def key_of(secret: str) -> bytes:
    """The key from the secret that is stored."""
    return bytes.fromhex(secret)
