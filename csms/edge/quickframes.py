"""The one WebSocket frame that nearly all traffic is made of, without the general parser. RFC 6455 §5.2.

A whole, uncompressed text frame that fills a read exactly needs no state: reading it here and writing it here gives the
same bytes as ``websockets`` does (tested against it), at a fifth of the time. All else is the library's business.
"""

from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # an installation without the C part, as the library itself allows
    from websockets.utils import apply_mask

_WHOLE_TEXT: Final = 0x81
_MASKED: Final = 0x80
_LENGTH_IN_16_BITS: Final = 126
_LENGTH_IN_64_BITS: Final = 127


def whole_text(data: bytes, max_bytes: int) -> bytes | None:
    """The text, when ``data`` is exactly one unfragmented, masked text frame of at most ``max_bytes``; else None."""
    if len(data) < 6 or data[0] != _WHOLE_TEXT or data[1] < _MASKED:
        return None
    length, start = data[1] - _MASKED, 6
    if length == _LENGTH_IN_16_BITS:
        length, start = data[2] << 8 | data[3], 8
    elif length == _LENGTH_IN_64_BITS:
        return None
    if len(data) != start + length or length > max_bytes:
        return None
    return apply_mask(data[start:], data[start - 4 : start])


def text_frame(text: bytes) -> bytes | None:
    """An unmasked text frame with this payload; None for one that needs 64 bits for its length."""
    length = len(text)
    if length < _LENGTH_IN_16_BITS:
        return bytes((_WHOLE_TEXT, length)) + text
    if length < 1 << 16:
        return bytes((_WHOLE_TEXT, _LENGTH_IN_16_BITS, length >> 8, length & 0xFF)) + text
    return None
