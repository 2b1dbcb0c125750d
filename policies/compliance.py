"""Does an EVSE follow its setpoint? The closed loop and the degrade ladder, sample by sample. V2G-9, V2G-10."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

TOLERANCE_W = 300.0
TOLERANCE_SHARE = 0.1
PART = 0.2
"""A discharge of this share of what was asked is a discharge: what is missing of it is asked of others."""
REFUSALS_ALLOWED = 3
"""In a row, before a rung is lost: a station that boots, or is busy, refuses too."""
CANNOT = frozenset(
    {
        "FormationViolation",
        "FormatViolation",
        "NotImplemented",
        "NotSupported",
        "OccurenceConstraintViolation",
        "OccurrenceConstraintViolation",
        "PropertyConstraintViolation",
        "TypeConstraintViolation",
    }
)
"""CALLERROR codes by which a station says that it never takes such a message; the others may be of the moment."""


class Level(StrEnum):
    """How far an EVSE is trusted. UNCONTROLLED: it does not follow; plan with the power it was seen to take."""

    FULL = "full"
    NO_DISCHARGE = "no_discharge"
    UNCONTROLLED = "uncontrolled"


class Act(StrEnum):
    """What to do after a sample. DEGRADE: the new level holds, decide again without what did not come."""

    NOTHING = "nothing"
    RESEND = "resend"
    READ_BACK = "read_back"
    DEGRADE = "degrade"


@dataclass(frozen=True, slots=True)
class Compliance:
    """One EVSE's record of compliance. ``misses`` and ``refusals``: in a row; ``failures``: times it was degraded in
    this plug-in."""

    level: Level = Level.FULL
    misses: int = 0
    resent: bool = False
    read_back: bool = False
    failures: int = 0
    refusals: int = 0


def follows(desired_w: int, observed_w: float) -> bool:
    """Within max(300 W, 10 %). A setpoint >= 0 is a limit: less is fine (vehicles taper), but discharge is not."""
    if desired_w >= 0:
        return -TOLERANCE_W <= observed_w <= desired_w + tolerance_w(desired_w)
    return abs(observed_w - desired_w) <= tolerance_w(desired_w)


def gives_part(desired_w: int, observed_w: float) -> bool:
    """It discharges as told, if not as much: no reason to give discharge up (the shortfall is asked of others)."""
    return desired_w < 0 and desired_w - tolerance_w(desired_w) <= observed_w <= PART * desired_w


def is_evidence(at: datetime, told_at: datetime | None, expires_at: datetime, settle: timedelta) -> bool:
    """A sample says something about a setpoint: taken after the vehicle had its time to ramp, and not after its end."""
    return told_at is not None and told_at + settle <= at < expires_at


def tolerance_w(desired_w: int) -> float:
    """How far the meter may be from a setpoint that is followed."""
    return max(TOLERANCE_W, TOLERANCE_SHARE * abs(desired_w))


def takes_all(limit_w: int, observed_w: float) -> bool:
    """The vehicle takes what it may: how much more it would take is not known."""
    return observed_w >= limit_w - tolerance_w(limit_w)


def observe(compliance: Compliance, desired_w: int, observed_w: float, samples_allowed: int) -> tuple[Compliance, Act]:
    """One metered sample after the acknowledgement: re-send after ``samples_allowed`` misses, after as many again read
    back what the station thinks, at the next miss degrade."""
    if follows(desired_w, observed_w):
        return replace(compliance, misses=0, resent=False, read_back=False), Act.NOTHING
    if compliance.level is Level.UNCONTROLLED:
        return compliance, Act.NOTHING
    if compliance.read_back:
        is_kept = gives_part(desired_w, observed_w)
        return (compliance, Act.NOTHING) if is_kept else (_degraded(compliance, desired_w), Act.DEGRADE)
    missed = replace(compliance, misses=compliance.misses + 1)
    if missed.misses < samples_allowed:
        return missed, Act.NOTHING
    if not missed.resent:
        return replace(missed, misses=0, resent=True), Act.RESEND
    return replace(missed, misses=0, read_back=True), Act.READ_BACK


def _degraded(compliance: Compliance, desired_w: int) -> Compliance:
    """A limit that is not kept will not be kept without discharge either: straight to UNCONTROLLED."""
    is_discharge = desired_w < 0 and compliance.level is Level.FULL
    return Compliance(
        level=Level.NO_DISCHARGE if is_discharge else Level.UNCONTROLLED, failures=compliance.failures + 1
    )


def cannot(error_code: str, desired_w: int) -> bool:
    """A CALLERROR to a discharge that would come every time: the next rung at once, no blind repeat (V2G-10). A limit
    is tried again all the same: without it there is no control at all."""
    return desired_w < 0 and error_code in CANNOT


def refused(
    compliance: Compliance, observed_w: float | None = None, desired_w: int = -1, *, is_final: bool = False
) -> Compliance:
    """The station said no. After some in a row, or one that ``is_final``, it loses discharge, if that was asked; a
    limit that is refused makes it one that does not follow, but only where it is known what it draws: else a plan would
    count on 0 W.
    """
    counted = replace(compliance, refusals=compliance.refusals + 1)
    is_enough = is_final or counted.refusals >= REFUSALS_ALLOWED
    if not is_enough or compliance.level is Level.UNCONTROLLED:
        return counted
    if desired_w < 0:
        level = Level.NO_DISCHARGE
    elif observed_w is not None:
        level = Level.UNCONTROLLED
    else:
        return counted
    return Compliance(level=level, failures=compliance.failures + (level is not compliance.level))


def accepted(compliance: Compliance) -> Compliance:
    """The station said yes: earlier refusals say nothing any more."""
    return replace(compliance, refusals=0) if compliance.refusals else compliance
