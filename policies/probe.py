"""Proof that an EVSE discharges when told to, before it is relied on. V2G-8."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from csms.domain.facts import Reading
from csms.domain.station import ProbeState

PROBE_W = 1000
RESPONSE_TIME = timedelta(seconds=60)
LONGEST = timedelta(seconds=120)
RISE_W = 300.0
"""Import this much above the level before the probe: the station reads a negative value as "unlimited"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe under way. ``setpoint_w`` < 0; ``import_before_w``: what the vehicle drew when it began."""

    started_at: datetime
    setpoint_w: int
    import_before_w: float
    deadline_at: datetime


def begin(now: datetime, import_before_w: float, max_discharge_w: int) -> Probe:
    """A probe of 1 kW, or what the EVSE and vehicle can give when that is less."""
    return Probe(
        started_at=now,
        setpoint_w=-min(PROBE_W, max_discharge_w),
        import_before_w=import_before_w,
        deadline_at=now + LONGEST,
    )


def judge(probe: Probe, now: datetime, reading: Reading | None) -> ProbeState:
    """The verdict from the newest reading received since the probe began (None = none yet).

    UNSAFE: import rose, stop at once. PASSED: at least half the power comes out and nothing goes in. FAILED: nothing
    came out in 60 s, or no reading arrived in 120 s.
    """
    if reading is None or reading.power_w is None:
        return ProbeState.FAILED if now >= probe.deadline_at else ProbeState.RUNNING
    if reading.power_w > probe.import_before_w + RISE_W:
        return ProbeState.UNSAFE
    if reading.power_w <= probe.setpoint_w / 2:
        return ProbeState.PASSED
    return ProbeState.FAILED if now >= probe.started_at + RESPONSE_TIME else ProbeState.RUNNING
