"""P1: a driver signs up where the vehicle stands, in one form."""

from contextlib import suppress

from csms.control.permission.matching import Matching
from csms.control.permission.people import People, Registered
from csms.domain.errors import Conflict, Forbidden
from csms.domain.ids import EvseRef
from csms.domain.people import Vehicle


async def sign_up(
    people: People, matching: Matching, evse: EvseRef, name: str, vehicle: Vehicle, language: str
) -> Registered:
    """A new driver at this EVSE; a plug-in that waits there becomes theirs, else the next one does.

    At a private EVSE they get no more than their account: its owner has to let them in first. Where a card charges
    already it is the same; the page claims once more, and shows what is needed (S1).
    """
    registered = await people.register(name, vehicle, language)
    with suppress(Conflict, Forbidden):
        await matching.claim(registered.user.id, evse)
    return registered
