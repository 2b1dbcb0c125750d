"""What a station's answers to a command come to. An answer may be anything: none of them raises (C11)."""

import logging
from collections.abc import Sequence
from typing import Final

from csms.domain.commands import CallResult, Command, Outcome, Rejected
from csms.domain.station import Version
from csms.edge.translation import Translation

_log = logging.getLogger(__name__)

REFUSED: Final = CallResult({"status": "Rejected"})
"""What a CALLERROR to one of several calls comes to, where the others count all the same."""


def verdict(translation: Translation, version: Version, command: Command, answers: Sequence[CallResult]) -> Outcome:
    """Read as far as they can be, even beside their schema: stations add fields, and spell a status their own way. What
    then cannot be read is a refusal that names what is wrong."""
    try:
        return translation.outcome(version, command, [answer.payload for answer in answers])
    except Exception as error:  # the reader is pure: whatever it raises is about the answer
        fault = next((answer.fault for answer in answers if answer.fault), "")
        if not fault:
            _log.exception("an answer to %s fits its schema and cannot be read", type(command).__name__)
        return Rejected(f"the answer cannot be understood: {fault or error}")
