"""The unit of limits that a station takes: some refuse every limit in W, and their failsafe limit with it. F11."""

from dataclasses import replace

from csms.domain.commands import CallFailed, InstallFailsafeLimit, Outcome, Rejected
from csms.domain.station import Current, RateUnit

UNABLE = frozenset({"NotImplemented", "NotSupported", "SecurityError"})
"""A station that answers so takes no profile in any unit."""


def other_unit(command: InstallFailsafeLimit, outcome: Outcome) -> InstallFailsafeLimit | None:
    """The same limit in A, for a station that refused it in W; None where that would change nothing."""
    is_refused = isinstance(outcome, Rejected) or (isinstance(outcome, CallFailed) and outcome.code not in UNABLE)
    if not is_refused or command.rate_unit is not RateUnit.W or command.ratings.current is Current.DC:
        return None
    return replace(command, rate_unit=RateUnit.A)
