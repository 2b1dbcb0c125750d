"""The tree of errors. The docstring is the message when none is given; every message says the remedy.

CsmsError
├── BadSettings        exit code 2
├── BadDatabase        exit code 2
├── PortBusy           exit code 2
├── Halted             exit code 3
├── Unavailable        503
├── NotFound           404
├── Gone               410
├── Forbidden          403
├── Conflict           409
├── BadRequest         422
├── StationOffline     409
└── StationSilent      504
"""


class CsmsError(Exception):
    """Something went wrong in the central system. ``reason``: a word for programs; a page has its own sentence."""

    def __init__(self, message: str | None = None, *, field: str | None = None, reason: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.field = field
        self.reason = reason


class BadSettings(CsmsError):
    """The configuration has an error."""


class BadDatabase(CsmsError):
    """The database cannot be used."""


class PortBusy(CsmsError):
    """The port is in use by another program; choose another in the configuration."""


class Halted(CsmsError):
    """The server ended itself: a part that nothing works without is gone; start it again."""


class Unavailable(CsmsError):
    """The database does not take writes now; try again soon."""


class NotFound(CsmsError):
    """There is no such thing."""


class Gone(CsmsError):
    """It was kept as long as the configuration says."""


class Forbidden(CsmsError):
    """This belongs to somebody else, who has not let you in."""


class Conflict(CsmsError):
    """This does not fit what is stored already."""


class BadRequest(CsmsError):
    """The request has an error."""


class StationOffline(CsmsError):
    """The station is not connected."""


class StationSilent(CsmsError):
    """The station did not answer in time."""
