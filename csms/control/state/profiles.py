"""Which charging profiles of a station are ours. V2G-7."""

from datetime import timedelta

from csms.domain.ids import EvseRef

FAILSAFE_PROFILE = 1
"""The profile of the failsafe limit."""
SETPOINT_PROFILE = 1000
"""The profile id of EVSE n's setpoint is this + n."""

BACKDATED = timedelta(seconds=60)
"""Schedules start a little in the past: some stations refuse one that starts in their future (Wallbox; evcc#25042)."""


def profile_of(evse: EvseRef) -> int:
    """The profile id of an EVSE's setpoint."""
    return SETPOINT_PROFILE + evse.evse
