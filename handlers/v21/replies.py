"""Answers that OCPP 2.1 widens."""

from typing import Any, Final

from csms.domain.answers import Answer, NeedsAnswer, TokenAnswer
from handlers.v2 import replies
from handlers.v2.needs import is_iso20
from handlers.wire import Payload, expect

CHARGING: Final = ("AC_single_phase", "AC_two_phase", "AC_three_phase", "DC")
BOTH_WAYS: Final = ("AC_BPT", "DC_BPT")


def authorize(answer: Answer, request: Payload) -> dict[str, Any]:
    """Authorize: without ``allowedEnergyTransfer`` the vehicle may charge only (Q01, V2G-14)."""
    given = expect(TokenAnswer, answer)
    reply = replies.authorize(given, request)
    return reply | {"allowedEnergyTransfer": [*CHARGING, *BOTH_WAYS]} if given.bidirectional else reply


def charging_needs(answer: Answer, request: Payload) -> dict[str, Any]:
    """In ISO 15118-20 Rejected would end the transaction (Q01.FR.04): there "no schedule" is NoChargingProfile.
    In ISO 15118-2 it is Rejected, as in 2.0.1 (V2G-13)."""
    if is_iso20(request["chargingNeeds"]):
        return {"status": expect(NeedsAnswer, answer).status.value}
    return replies.charging_needs(answer, request)
