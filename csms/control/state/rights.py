"""Who may plug in where: at a private EVSE only its owner, the station's host, and whom they let in. P1, P4, G5.

A token that is linked to nobody may charge everywhere, plainly: no token is known here but by the operator's doing, who
put it in for the owner (a card of the household, of a company's pool) and answers for it. A token of a user is judged
as that user: at a private EVSE of others it is Invalid. Not Blocked: some stations keep a blocked card as such for
everywhere (reference, field lessons: KEBA).
"""

from csms.control.state.live import EvseLive, Live
from csms.domain.errors import Forbidden
from csms.domain.ids import EvseRef, StationId, UserId


def owner_of(live: Live, evse: EvseLive) -> UserId | None:
    """The host of a private EVSE; nobody owns the place at a public one."""
    station = live.station(evse.ref.station)
    if evse.evse.public or station is None or station.station.host is None:
        return None
    return UserId(station.station.host)


def may_use(live: Live, evse: EvseLive, user: UserId) -> bool:
    """Whether this user's plug-in may be at this EVSE."""
    return evse.evse.public or user == owner_of(live, evse) or user in evse.evse.allowed


def may_charge(live: Live, station: StationId, ref: EvseRef | None, holder: UserId | None) -> bool:
    """Whether who holds a token may charge: at this EVSE, or, where none is named (Authorize), at any of the station's.
    One that we do not know is public, as it will be when it is discovered."""
    known = live.station(station)
    if holder is None or known is None or not known.evses:
        return True
    evse = live.find(ref) if ref is not None else None
    if evse is None and ref is not None and ref.evse > 0:
        return True
    here = known.evses.values() if evse is None else (evse,)
    return any(may_use(live, one, holder) for one in here)


def check(live: Live, evse: EvseLive, user: UserId) -> None:
    """Raises Forbidden: a link never opens a private EVSE for others."""
    if not may_use(live, evse, user):
        raise Forbidden("this charging point is private; ask its owner to let you in", field="link")
