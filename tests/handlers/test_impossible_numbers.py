"""Numbers that fit the schema and cannot be meant: quarantined, or left out where they need not be there. C12."""

from typing import Any

import pytest

from csms.domain.facts import TransactionReported
from csms.domain.station import Version
from handlers import ROUTES
from tests.handlers.golden import Case, cases

GOLDEN = {case.id: case for case in cases("in")}
HUGE = 2**63


def decoded(case: Case, **changed: Any) -> Any:
    _, message_id, action, payload = case.data["frame"]
    return ROUTES[case.version][action].decode(payload | changed, case.context, message_id)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("v16/start", {"connectorId": 0}),
        ("v16/start", {"connectorId": -1}),
        ("v16/start", {"connectorId": -HUGE}),
        ("v16/start", {"meterStart": HUGE}),
        ("v16/stop", {"meterStop": -HUGE}),
        ("v16/status_preparing", {"connectorId": -1}),
        ("v16/meter_values", {"connectorId": HUGE}),
        ("v201/status_occupied", {"evseId": -1}),
        ("v201/status_occupied", {"connectorId": HUGE}),
        ("v201/transaction_started", {"seqNo": -1}),
        ("v21/transaction_started", {"seqNo": HUGE}),
        ("v21/transaction_started", {"evse": {"id": -1}}),
    ],
)
def test_c12_what_no_evse_and_no_register_can_be_is_not_understood(name: str, changed: dict[str, Any]) -> None:
    """C12: connectors -1 and 0 started transactions; EVSE -9223372036854775808 was stored."""
    with pytest.raises(ValueError, match="is not within"):
        decoded(GOLDEN[name], **changed)


def test_c12_an_optional_number_that_cannot_be_is_left_out() -> None:
    case = GOLDEN["v21/transaction_started"]
    info = case.data["frame"][3]["transactionInfo"] | {"remoteStartId": HUGE}
    fact = decoded(case, transactionInfo=info, evse={"id": 1, "connectorId": HUGE})
    assert isinstance(fact, TransactionReported)
    assert (fact.remote_start_id, fact.connector, fact.evse.evse if fact.evse else None) == (None, None, 1)


def test_the_station_itself_is_number_zero() -> None:
    assert decoded(GOLDEN["v16/status_preparing"], connectorId=0).evse.evse == 0
    assert GOLDEN["v16/status_preparing"].version is Version.V16
