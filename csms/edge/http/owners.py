"""Whose records a caller asks for."""

from csms.domain.errors import NotFound
from csms.domain.ids import UserId
from csms.domain.people import User
from csms.edge.http.auth import Caller, Scope
from csms.store import Store, reads


def own(caller: Caller, user: str | None) -> UserId | None:
    """The user to look for, None = all: a driver's token only ever finds its own. 403 when it asks for another's."""
    if caller.scope is not Scope.DRIVER:
        return UserId(user) if user else None
    if user is not None:
        caller.check_own(user)
    return UserId(caller.name)


async def known_user(store: Store, user: str) -> User:
    """Raises NotFound."""
    found = await store.read(lambda conn: reads.user(conn, UserId(user)))
    if found is None:
        raise NotFound(f"there is no user {user}", field="user")
    return found
