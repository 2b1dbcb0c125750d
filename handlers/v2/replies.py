"""Answers to OCPP 2.0.1 and 2.1 requests. BootNotification, Heartbeat and DataTransfer are spelt as in 1.6."""

from typing import Any

from csms.domain.answers import Answer, NeedsAnswer, NeedsStatus, TokenAnswer, TransactionAnswer
from handlers.times import spelt
from handlers.wire import Payload, expect

GROUP_LENGTH = 36


def authorize(answer: Answer, request: Payload) -> dict[str, Any]:
    return {"idTokenInfo": id_token_info(expect(TokenAnswer, answer))}


def transaction_event(answer: Answer, request: Payload) -> dict[str, Any]:
    token = expect(TransactionAnswer, answer).token
    return {} if token is None else {"idTokenInfo": id_token_info(token)}


def charging_needs(answer: Answer, request: Payload) -> dict[str, Any]:
    """2.0.1 serves ISO 15118-2 sessions, in which "no schedule" is Rejected (K15.FR.04)."""
    status = expect(NeedsAnswer, answer).status
    return {"status": "Rejected" if status is NeedsStatus.NO_PROFILE else status.value}


def id_token_info(token: TokenAnswer) -> dict[str, Any]:
    """IdTokenInfoType. A group is one of our own names, so its type is Central."""
    info: dict[str, Any] = {"status": token.status.value}
    if token.expires_at is not None:
        info["cacheExpiryDateTime"] = spelt(token.expires_at)
    if token.group is not None and len(token.group) <= GROUP_LENGTH:
        info["groupIdToken"] = {"idToken": token.group, "type": "Central"}
    return info
