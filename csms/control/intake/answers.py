"""The reply to each kind of fact, once it is committed."""

from collections.abc import Callable, Mapping
from typing import Any

from csms.domain.answers import (
    Acknowledged,
    Answer,
    DataAnswer,
    NeedsAnswer,
    NeedsStatus,
    StartAnswer,
    TokenAnswer,
    TokenStatus,
    TransactionAnswer,
)
from csms.domain.facts import (
    AuthorizeAsked,
    DataSent,
    NeedsReported,
    StationFact,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
    Unintelligible,
)

INVALID = TokenAnswer(status=TokenStatus.INVALID)
ACKNOWLEDGED = Acknowledged()


def answer_of(fact: StationFact, result: Any, token: TokenAnswer | None) -> Answer:
    """``result``: what the store made of the fact; ``token``: the verdict on the token in it. Not for a boot."""
    answer = ANSWERS.get(type(fact))
    return ACKNOWLEDGED if answer is None else answer(fact, result, token)


def is_bad_start(fact: StationFact) -> bool:
    """A 1.6 start that nobody understands: it is given an id all the same (field lesson 10)."""
    return isinstance(fact, Unintelligible) and fact.action == "StartTransaction"


def _needs_answer(fact: NeedsReported) -> NeedsAnswer:
    # Processing: the profile follows with the next decision; no vehicle is refused its energy service here (V2G-13).
    return NeedsAnswer(NeedsStatus.PROCESSING if fact.bidirectional else NeedsStatus.NO_PROFILE)


def _unintelligible_answer(fact: Unintelligible, result: Any) -> Answer:
    return StartAnswer(transaction=int(result), token=INVALID) if is_bad_start(fact) else Acknowledged()


ANSWERS: Mapping[type, Callable[[Any, Any, TokenAnswer | None], Answer]] = {
    AuthorizeAsked: lambda _fact, _result, token: token or INVALID,
    TransactionStarted: lambda _fact, result, token: StartAnswer(transaction=result, token=token or INVALID),
    TransactionStopped: lambda _fact, _result, token: TransactionAnswer(token),
    TransactionReported: lambda _fact, _result, token: TransactionAnswer(token),
    NeedsReported: lambda fact, _result, _token: _needs_answer(fact),
    DataSent: lambda _fact, _result, _token: DataAnswer("UnknownVendorId"),
    Unintelligible: lambda fact, result, _token: _unintelligible_answer(fact, result),
}
"""What is not named here is merely noted."""
