"""What an operator may do for one station: its password, its ways, its EVSEs, what it told. F13, C5, C6."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from csms.domain.facts import Noticed, NoticeKind
from csms.domain.ids import EvseRef
from csms.domain.station import ConnectorStatus
from csms.store import reads
from tests.control.kit import World
from tests.http.kit import STATION, bearer

HERE = f"/api/v1/stations/{STATION}"
KEY = {"Idempotency-Key": "once"}


async def test_a_station_without_a_password_gets_a_made_one_that_is_shown_once(
    web: httpx.AsyncClient, w: World
) -> None:
    """C4: 128 random bits, kept as a keyed hash; nowhere in the database."""
    first = await web.post("/api/v1/stations", json={"id": "ST-3"}, headers=bearer() | KEY)
    made = first.json()["password"]
    assert len(bytes.fromhex(made)) == 16
    again = await web.post("/api/v1/stations", json={"id": "ST-3"}, headers=bearer() | KEY)
    assert (again.status_code, again.json()["password"], again.json()["id"]) == (201, None, "ST-3")
    assert made not in (await web.get("/api/v1/stations/ST-3", headers=bearer())).text
    verdict = await w.system.admission.admit("ST-3", "ST-3", made.encode(), "192.0.2.1")
    assert type(verdict).__name__ == "Admitted"
    with w.store._reading.connect() as conn:
        assert not any(made in line for line in conn.connection.driver_connection.iterdump())  # type: ignore[union-attr]


async def test_a_chosen_password_is_never_shown(web: httpx.AsyncClient) -> None:
    chosen = "a-password-of-24-letters"
    answer = await web.post("/api/v1/stations", json={"id": "ST-3", "password": chosen}, headers=bearer())
    assert answer.json()["password"] is None


async def test_another_password_can_be_made(web: httpx.AsyncClient) -> None:
    made = [(await web.post(f"{HERE}/password", headers=bearer())).json()["password"] for _ in range(2)]
    assert made[0] != made[1]
    assert (await web.post(f"{HERE}/password", headers=bearer("host"))).status_code == 403
    assert (await web.post("/api/v1/stations/nobody/password", headers=bearer())).status_code == 404


async def test_f13_an_operator_keeps_a_record_of_a_stations_own_ways(web: httpx.AsyncClient, w: World) -> None:
    """F13: V2G for one station, beside the packaged records."""
    own = {"driver": "negative_limit", "stack_level": 3, "assume_version": "ocpp1.6"}
    answer = await web.put(f"{HERE}/quirks", json=own, headers=bearer())
    assert (answer.status_code, answer.json()["quirks"]) == (200, own)
    assert (await web.put(f"{HERE}/quirks", json={}, headers=bearer())).json()["quirks"] == {}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"driver": "magic"}, "driver"), ({"stack_level": 0}, "stack_level"), ({"colour": "red"}, "colour")],
)
async def test_a_wrong_quirk_changes_nothing(web: httpx.AsyncClient, wrong: dict[str, Any], field: str) -> None:
    answer = await web.put(f"{HERE}/quirks", json=wrong, headers=bearer())
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert (await web.get(HERE, headers=bearer())).json()["quirks"] == {}
    assert (await web.put(f"{HERE}/quirks", json={}, headers=bearer("host"))).status_code == 403


async def test_c5_an_evse_that_a_station_showed_is_approved_by_the_operator_only(
    web: httpx.AsyncClient, w: World
) -> None:
    w.system.live.discover(EvseRef(STATION, 2))
    await w.quiet()
    shown = (await web.get(HERE, headers=bearer())).json()["evses"]
    assert [evse["approved"] for evse in shown] == [True, False]
    assert (await web.patch(f"{HERE}/evses/2", json={"approved": True}, headers=bearer("host"))).status_code == 403
    assert (await web.patch(f"{HERE}/evses/2", json={"public": False}, headers=bearer("host"))).status_code == 200
    answer = await web.patch(f"{HERE}/evses/2", json={"approved": True}, headers=bearer())
    assert [evse["approved"] for evse in answer.json()["evses"]] == [True, True]


def noticed(w: World, kind: NoticeKind, number: int) -> Noticed:
    return Noticed(origin=w.origin(), kind=kind, content={"number": number})


async def test_c6_what_a_station_told_besides_is_read_newest_first_and_by_kind(
    web: httpx.AsyncClient, w: World
) -> None:
    """C6, C13: security events, reports and the like were answered NotSupported and kept nowhere."""
    kinds = [NoticeKind.SECURITY_EVENT, NoticeKind.REPORT, NoticeKind.SECURITY_EVENT]
    for number, kind in enumerate(kinds):
        await w.take(noticed(w, kind, number))
    page = (await web.get(f"{HERE}/notices?limit=2", headers=bearer())).json()
    assert [item["content"] for item in page["items"]] == [{"number": 2}, {"number": 1}]
    rest = (await web.get(f"{HERE}/notices?limit=2&cursor={page['next']}", headers=bearer())).json()
    assert ([item["content"] for item in rest["items"]], rest["next"]) == ([{"number": 0}], None)
    events = (await web.get(f"{HERE}/notices?kind=security_event", headers=bearer())).json()["items"]
    assert [(item["kind"], item["content"]["number"]) for item in events] == [
        ("security_event", 2),
        ("security_event", 0),
    ]
    assert (await web.get(f"{HERE}/notices?kind=gossip", headers=bearer())).status_code == 422
    assert (await web.get(f"{HERE}/notices", headers=bearer("host"))).status_code == 403
    assert (await web.get("/api/v1/stations/nobody/notices", headers=bearer())).status_code == 404


Request = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


def others() -> dict[str, Request]:
    """What somebody else may do to a station, or what it does itself, while its EVSE is made private."""
    return {
        "host": lambda web: web.patch(f"{HERE}/evses/1", headers=bearer(), json={"on_refusal": "nothing"}),
        "password": lambda web: web.post(f"{HERE}/password", headers=bearer()),
        "registration": lambda web: web.patch(HERE, headers=bearer(), json={"registration": "pending"}),
        "quirks": lambda web: web.put(f"{HERE}/quirks", headers=bearer(), json={"stack_level": 3}),
    }


@pytest.mark.parametrize("other", sorted(others()))
async def test_p1_an_evse_that_is_made_private_stays_so_whatever_else_is_changed_at_that_moment(
    web: httpx.AsyncClient, w: World, other: str
) -> None:
    """P4, G5: the other change wrote the whole station as it had read it, and anybody might plug in again."""
    private = web.patch(f"{HERE}/evses/1", headers=bearer(), json={"public": False})
    answers = await asyncio.gather(private, others()[other](web))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert not w.evse.evse.public
    (stored,) = await w.store.read(reads.stations)
    assert not stored.evses[0].public
    assert stored == replace(w.station.station, last_heard_at=stored.last_heard_at)


async def test_p1_an_evse_that_is_made_private_stays_so_when_its_station_shows_another(
    web: httpx.AsyncClient, w: World
) -> None:
    private = web.patch(f"{HERE}/evses/1", headers=bearer(), json={"public": False})
    await asyncio.gather(private, w.take(w.status(ConnectorStatus.AVAILABLE, EvseRef(STATION, 2))))
    (stored,) = await w.store.read(reads.stations)
    assert [evse.public for evse in stored.evses] == [False, True]
