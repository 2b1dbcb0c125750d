"""The golden frames go through a session with the real handlers: each CALL has exactly one answer, and no CALLERROR."""

from pathlib import Path

import orjson
import pytest

import handlers
from csms.clock import SystemClock
from csms.domain.answers import (
    Acknowledged,
    BootAnswer,
    DataAnswer,
    NeedsAnswer,
    NeedsStatus,
    StartAnswer,
    TimeAnswer,
    TokenAnswer,
    TokenStatus,
    TransactionAnswer,
)
from csms.domain.facts import Unintelligible
from csms.domain.ids import StationId
from csms.domain.ports import Admitted
from csms.domain.station import BootState, Quirks, Version
from csms.edge.desk import Desk
from csms.edge.peer import Peer
from csms.edge.schemas import Schemas
from csms.edge.session import Session

VERSIONS = {"v16": Version.V16, "v201": Version.V201, "v21": Version.V21}
FILES = sorted(Path(__file__).parent.parent.joinpath("frames").glob("*/*.json"))
INCOMING = [path for path in FILES if orjson.loads(path.read_bytes())["direction"] == "in"]
TOKEN = TokenAnswer(status=TokenStatus.ACCEPTED)


class Wire:
    def __init__(self):
        self.sent = []

    def send(self, text):
        self.sent.append(orjson.loads(text))

    def close(self, code, reason):
        raise AssertionError("nothing here closes a connection")


class Willing:
    """An intake that gives each message the kind of answer it needs."""

    is_full = False

    def __init__(self, now):
        self.facts = []
        self._answers = {
            "Heartbeat": TimeAnswer(now),
            "BootNotification": BootAnswer(state=BootState.ACCEPTED, now=now, interval_s=300),
            "Authorize": TOKEN,
            "StartTransaction": StartAnswer(transaction=7, token=TOKEN),
            "StopTransaction": TransactionAnswer(TOKEN),
            "TransactionEvent": TransactionAnswer(TOKEN),
            "NotifyEVChargingNeeds": NeedsAnswer(NeedsStatus.PROCESSING),
            "DataTransfer": DataAnswer("Accepted"),
        }

    def receive(self, fact, done):
        self.facts.append(fact)
        done(self._answers.get(self.action, Acknowledged()))


def converse(version, frame):
    clock = SystemClock()
    intake, wire = Willing(clock.now()), Wire()
    intake.action = frame[2]
    readers = {version: handlers.reader(version)}
    schemas = {version: Schemas(version)}
    desk = Desk(intake, clock, handlers, schemas, readers, handlers.load_registry(), lambda session: None)
    admitted = Admitted(station=StationId("CS1"), quirks=Quirks(), boot_state=BootState.ACCEPTED)
    session = Session(desk, Peer(StationId("CS1")), wire, admitted, version)
    session.received(orjson.dumps(frame))
    return intake.facts, wire.sent


@pytest.mark.parametrize("path", INCOMING, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_golden_frame_is_understood_and_answered_once(path):
    """Scenarios 1, 2, 5, 6 (P0), the edge's part; V2G-58."""
    frame = orjson.loads(path.read_bytes())["frame"]
    facts, sent = converse(VERSIONS[path.parent.name], frame)
    assert [answer[:2] for answer in sent] == [[3, frame[1]]]
    assert len(facts) == 1
    assert not isinstance(facts[0], Unintelligible)


@pytest.mark.parametrize(
    ("version", "action"),
    [(version, action) for version in Version for action in sorted(handlers.MUST_CONFIRM)],
)
def test_what_must_be_confirmed_is_never_answered_with_an_error(version, action):
    """V2G-39, field lesson 8: whatever it says."""
    for payload in ({}, {"x": []}, [], None, "text"):
        facts, sent = converse(version, [2, "m", action, payload])
        if Schemas(version).knows(action):
            assert [answer[:2] for answer in sent] == [[3, "m"]]
            assert isinstance(facts[0], Unintelligible)
        else:
            assert sent[0][2] == "NotImplemented"
