"""How deep a frame is nested, told before it is parsed: parsers and validators recurse, and give up with errors of
their own far below what fits into a frame (C3)."""

import re
from typing import Final

import numpy as np

MAX_DEPTH: Final = 100
"""Of arrays and objects in one another. The deepest message of the standard has 13; a vendor's data may have more."""

_STRINGS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_QUOTE: Final = ord('"')
_STEP: Final = np.zeros(256, np.int8)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1


def is_too_deep(raw: bytes) -> bool:
    """Whether JSON text is nested deeper than MAX_DEPTH; text that is no JSON may be either. Linear in its length; for
    nearly all messages two counts are enough."""
    return raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and depth_of(raw) > MAX_DEPTH


def depth_of(raw: bytes) -> int:
    """The deepest point of JSON text, as far as it is JSON."""
    text = _STRINGS.sub(b"", raw) if b"\\" in raw else raw
    signs = np.frombuffer(text, np.uint8)
    is_outside = 1 - (np.cumsum(signs == _QUOTE, dtype=np.int32) & 1)
    return int(np.cumsum(_STEP[signs] * is_outside, dtype=np.int32).max(initial=0))
