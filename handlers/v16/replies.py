"""Answers to OCPP 1.6 requests (OCPP 1.6 edition 2, §4)."""

from typing import Any

from csms.domain.answers import Answer, BootAnswer, DataAnswer, StartAnswer, TimeAnswer, TokenAnswer, TransactionAnswer
from csms.domain.station import BootState, Version
from handlers.times import spelt
from handlers.tokens import LONGEST, STATUS_16
from handlers.wire import Payload, expect

REGISTRATION = {
    BootState.ACCEPTED: "Accepted",
    BootState.PENDING: "Pending",
    BootState.NEVER: "Pending",
    BootState.REJECTED: "Rejected",
}


def boot(answer: Answer, request: Payload) -> dict[str, Any]:
    """BootNotification, in every version."""
    given = expect(BootAnswer, answer)
    return {"status": REGISTRATION[given.state], "currentTime": spelt(given.now), "interval": given.interval_s}


def heartbeat(answer: Answer, request: Payload) -> dict[str, Any]:
    """Heartbeat, in every version."""
    return {"currentTime": spelt(expect(TimeAnswer, answer).now)}


def authorize(answer: Answer, request: Payload) -> dict[str, Any]:
    return {"idTagInfo": id_tag_info(expect(TokenAnswer, answer))}


def start(answer: Answer, request: Payload) -> dict[str, Any]:
    """StartTransaction: the transaction id is there even when the token is refused (field lesson 10)."""
    given = expect(StartAnswer, answer)
    return {"transactionId": given.transaction, "idTagInfo": id_tag_info(given.token)}


def stop(answer: Answer, request: Payload) -> dict[str, Any]:
    token = expect(TransactionAnswer, answer).token
    return {} if token is None else {"idTagInfo": id_tag_info(token)}


def data_transfer(answer: Answer, request: Payload) -> dict[str, Any]:
    """DataTransfer, in every version."""
    given = expect(DataAnswer, answer)
    return {"status": given.status} if given.data is None else {"status": given.status, "data": given.data}


def id_tag_info(token: TokenAnswer) -> dict[str, str]:
    """§7.14 IdTagInfo. A group longer than 1.6 can say is left out."""
    info = {"status": STATUS_16[token.status]}
    if token.expires_at is not None:
        info["expiryDate"] = spelt(token.expires_at)
    if token.group is not None and len(token.group) <= LONGEST[Version.V16]:
        info["parentIdTag"] = token.group
    return info
