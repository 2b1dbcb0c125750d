"""Every golden frame that we send, judged by typed-ocpp."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.opinion import second_opinion
from tests.servers import ROOT

pytestmark = pytest.mark.peer

FRAMES = ROOT / "tests" / "frames"
VERSIONS = {"v16": "1.6", "v201": "2.0.1", "v21": "2.1"}


def _sent(path: Path) -> Iterator[dict[str, Any]]:
    """What we send in one golden file: the CALLs of a command, or the CALLRESULT to a station's CALL."""
    golden = json.loads(path.read_text(encoding="utf-8"))
    version = VERSIONS[path.parent.name]
    for frame in golden.get("frames", ()):
        yield {"version": version, "frame": frame}
    if "reply" in golden:
        request = golden["frame"]
        yield {"version": version, "frame": [3, request[1], golden["reply"]], "request": request}


@pytest.mark.parametrize("folder", VERSIONS)
def test_a_second_validator_accepts_every_golden_frame_that_we_send(folder: str) -> None:
    """reference ocpp-test-cases §1."""
    frames = [frame for path in sorted((FRAMES / folder).glob("*.json")) for frame in _sent(path)]
    verdict = second_opinion(frames)
    assert verdict["checked"] == len(frames) > 0
    assert verdict["bad"] == []


def test_the_second_validator_tells_bad_frames_from_good_ones() -> None:
    """A validator that accepts everything would show nothing."""
    call = [2, "m", "BootNotification", {"chargePointVendor": "v", "chargePointModel": "m"}]
    frames = [
        {"version": "1.6", "frame": call},
        {"version": "1.6", "frame": [2, "m", "BootNotification", {}]},
        {"version": "1.6", "frame": [3, "m", {"status": "Accepted"}], "request": call},
        {"version": "2.1", "frame": [2, "m", "NoSuchAction", {}]},
    ]
    verdict = second_opinion(frames)
    assert [bad["line"] for bad in verdict["bad"]] == [1, 2, 3]
