"""npm typed-ocpp's verdict on frames: a reading of the schemas that is not ours."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers import ROOT

VALIDATOR = Path(__file__).with_name("validate.mjs")


def second_opinion(frames: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """typed-ocpp's verdict on frames ({"version", "frame", "request"}): {"checked": n, "bad": […]}."""
    run = subprocess.run(
        ["node", str(VALIDATOR)],
        input="\n".join(json.dumps(frame) for frame in frames),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=120,
    )
    verdict: dict[str, Any] = json.loads(run.stdout)
    return verdict
