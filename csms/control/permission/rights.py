"""Who may plug in where: at a private EVSE only its owner, the station's host, and whom they let in. P1, G5."""

from csms.control.state.live import EvseLive, Live
from csms.domain.errors import Forbidden
from csms.domain.ids import UserId


def owner_of(live: Live, evse: EvseLive) -> UserId | None:
    """The host of a private EVSE; nobody owns the place at a public one."""
    station = live.station(evse.ref.station)
    if evse.evse.public or station is None or station.station.host is None:
        return None
    return UserId(station.station.host)


def may_use(live: Live, evse: EvseLive, user: UserId) -> bool:
    """Whether this user's plug-in may be at this EVSE."""
    return evse.evse.public or user == owner_of(live, evse) or user in evse.evse.allowed


def check(live: Live, evse: EvseLive, user: UserId) -> None:
    """Raises Forbidden: a link never opens a private EVSE for others."""
    if not may_use(live, evse, user):
        raise Forbidden("this charging point is private; ask its owner to let you in", field="link")
