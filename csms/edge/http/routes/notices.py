"""What a station told besides: security events, reports, states of uploads and updates. C6, C13."""

from typing import Annotated

from fastapi import APIRouter, Query

from csms.domain.facts import NoticeKind
from csms.domain.ids import StationId
from csms.domain.notices import Notice
from csms.edge.http.auth import Operator
from csms.edge.http.paging import Paging, number_of, page
from csms.edge.http.rooms import RegistryDep, StoreDep
from csms.edge.http.shapes import Name, Page
from csms.store import reads

router = APIRouter(prefix="/api/v1/stations", tags=["stations"])


class NoticesQuery(Paging):
    """Of one kind, or of all."""

    kind: NoticeKind | None = None


@router.get("/{station}/notices")
async def notices(
    registry: RegistryDep, store: StoreDep, caller: Operator, station: Name, query: Annotated[NoticesQuery, Query()]
) -> Page[Notice]:
    """The newest first, with their content as the station sent it."""
    id_, before = registry.view(StationId(station)).station.id, number_of(query.cursor)
    found = await store.read(
        lambda conn: reads.notices(conn, id_, kind=query.kind, before=before, limit=query.limit + 1)
    )
    return page(found, query.limit, lambda notice: str(notice.id))
