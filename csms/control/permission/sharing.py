"""A vehicle of several users: changed, taken back or deleted by its owner, or left. P1."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from csms.control.permission.people import People
from csms.control.permission.permissions import Permissions
from csms.domain.errors import NotFound
from csms.domain.ids import UserId, VehicleId
from csms.domain.people import Vehicle
from csms.store import writes


async def change(
    people: People, permissions: Permissions, owner: UserId, vehicle: VehicleId, changed: Mapping[str, Any]
) -> Vehicle:
    """Other particulars; they hold for whoever is plugged in with it, or says so at this moment. NotFound: none of
    theirs; Forbidden: it is not the owner who asks."""
    users = (owner, *(each.id for each in await people.sharers(owner, vehicle)))
    async with AsyncExitStack() as stack:
        await permissions.hold(users, stack)
        new = await people.change_vehicle(owner, vehicle, changed)
        permissions.renewed(new)
    return new


async def take_back(people: People, permissions: Permissions, owner: UserId, vehicle: VehicleId, user: UserId) -> None:
    """The owner shares it with this user no more. NotFound: none of theirs, or not shared with them; Forbidden: it is
    not the owner who asks."""
    if user not in {each.id for each in await people.sharers(owner, vehicle)}:
        raise NotFound(f"vehicle {vehicle} is not shared with {user}", field="user")
    await unshare(people, permissions, vehicle, user)


async def unshare(people: People, permissions: Permissions, vehicle: VehicleId, user: UserId) -> None:
    """That user's no more."""
    await _without(people, permissions, (user,), vehicle, partial(writes.unshare_vehicle, vehicle=vehicle, user=user))


async def delete(people: People, permissions: Permissions, owner: UserId, vehicle: VehicleId) -> None:
    """It is no longer anybody's; what was recorded of it stays. NotFound: it is none of the owner's; Forbidden: it is
    shared with them only."""
    users = (owner, *(each.id for each in await people.sharers(owner, vehicle)))
    await _without(people, permissions, users, vehicle, partial(writes.delete_vehicle, vehicle=vehicle))


async def _without(
    people: People, permissions: Permissions, users: Collection[UserId], vehicle: VehicleId, work: Callable[[Any], None]
) -> None:
    """In one write. A plug-in of theirs goes on without the vehicle: what they said holds, and nothing is ever
    discharged from a vehicle that nobody vouches for."""
    async with AsyncExitStack() as stack:
        told = await permissions.without(users, vehicle, stack)

        def write(conn: Any) -> None:
            work(conn)
            for plug_in in told:
                writes.save_answer(conn, plug_in=plug_in)

        await people.write(write)
        permissions.dropped(told)
    for user in users:
        people.unshared(vehicle, user)
