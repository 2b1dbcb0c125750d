"""Transaction ids for 1.6 (V2G-55, field lesson 10)."""

from typing import Final

from sqlalchemy import Connection, update

from csms.domain.errors import BadDatabase
from csms.domain.station import Version
from csms.store.sql import insert_new
from csms.store.tables import TRANSACTION_SEQUENCE

_LAST: Final = 2**31 - 1
_NAME: Final = Version.V16.value


def reserve_transaction_ids(conn: Connection, count: int) -> int:
    """First of ``count`` consecutive ids in 1 … 2³¹-1, handed out once and never again."""
    insert_new(conn, TRANSACTION_SEQUENCE, {"name": _NAME, "next_id": 1})
    c = TRANSACTION_SEQUENCE.c
    step = update(TRANSACTION_SEQUENCE).where(c.name == _NAME).values(next_id=c.next_id + count)
    first = int(conn.execute(step.returning(c.next_id)).scalar_one()) - count
    if first + count - 1 > _LAST:
        raise BadDatabase("all transaction ids of OCPP 1.6 (31 bits) are used up; start with a new database")
    return first
