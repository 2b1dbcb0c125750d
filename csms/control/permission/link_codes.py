"""Short codes that somebody types over: 8 characters, used once, within ten minutes. P1."""

import hashlib
import secrets
from datetime import timedelta

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Nothing that is taken for another: no 0, 1, I, O."""
LENGTH = 8
HOLDS = timedelta(minutes=10)
_SALT = b"tidewatt link code"


def new_code() -> str:
    """40 random bits: with the tries of one address limited, nobody guesses one in ten minutes."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def hash_code(code: str) -> str:
    """What is kept of a code, whatever its case and gaps. Slow (some 50 ms, in a thread): 40 bits are few enough to be
    tried out by who reads the database."""
    typed = "".join(code.split()).replace("-", "").upper()
    return hashlib.scrypt(typed.encode(), salt=_SALT, n=2**14, r=8, p=1).hex()
