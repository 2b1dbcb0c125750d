"""Words that stations use instead of the schema's, as data for the tolerant reader. Evidence: field lessons §8."""

import re
from collections.abc import Sequence
from typing import Any, Final

_NOISE: Final = re.compile(r"[^a-z0-9%]")

_ALIASES: Final = {
    "hz": "Hertz",  # ChargeAmps
    "celcius": "Celsius",
    "%": "Percent",
    "percentage": "Percent",
    "stateofcharge": "SoC",
    "periodic": "Sample.Periodic",
    "clock": "Sample.Clock",
    "error": "OtherError",  # Legrand
    "null": "NoError",
    "none": "NoError",
}

FALLBACKS: Final = {
    "errorCode": ("OtherError",),
    "reason": ("Other", "Unknown"),
    "stoppedReason": ("Other",),
    "triggerReason": ("AbnormalCondition",),
    "type": ("Local",),
}
"""What an unknown word of a field means, where it must mean something. ``type`` is that of an id token."""

SPOILING: Final = frozenset({"measurand", "unit", "phase", "location", "format"})
"""A sample whose word here is unknown is dropped: left out, the field would get a default, and the value a wrong
meaning. (An unknown ``context`` does no such harm.)"""

MISSING: Final = {
    "timestamp": "1970-01-01T00:00:00Z",  # decoded as the time we received it
    "errorCode": "NoError",
    "chargePointVendor": "",
    "chargePointModel": "",
    "vendorName": "",
    "model": "",
    "reason": "Unknown",
}
"""What is put in place of a required field that is absent or null."""

NEVER_CUT: Final = frozenset(
    {"idTag", "idToken", "additionalIdToken", "transactionId", "value", "data", "signedMeterData", "publicKey"}
)
"""Too long a text is cut, but never one of these: a part of it would be something else."""


def folded(word: str) -> str:
    """A word without case, blanks and punctuation."""
    return _NOISE.sub("", word.lower())


def recognised(word: Any, allowed: Sequence[str]) -> str | None:
    """The schema's word for what was sent, whatever its case, blanks or alias; None when it has none."""
    if isinstance(word, dict | list):
        return None
    bare = folded(str(word))
    by_folded = {folded(known): known for known in allowed}
    if bare in by_folded:
        return by_folded[bare]
    named = _ALIASES.get(bare)
    return named if named in allowed else None
