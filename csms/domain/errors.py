"""The tree of errors. The docstring is the message when none is given; every message says the remedy.

CsmsError
├── BadSettings        exit code 2
├── BadDatabase        exit code 2
├── PortBusy           exit code 2
├── NotFound           404
├── Forbidden          403
├── Conflict           409
├── BadRequest         422
├── StationOffline     409
└── StationSilent      504
"""


class CsmsError(Exception):
    """Something went wrong in the central system."""

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.field = field


class BadSettings(CsmsError):
    """The configuration has an error."""


class BadDatabase(CsmsError):
    """The database cannot be used."""


class PortBusy(CsmsError):
    """The port is in use by another program; choose another in the configuration."""


class NotFound(CsmsError):
    """There is no such thing."""


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
