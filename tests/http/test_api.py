"""The API under /api/v1: who may, what bad input gets, what comes back."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csms.domain.benefit import BenefitGrant
from csms.domain.commands import CallFailed, CallResult, Offline, TimedOut
from csms.domain.errors import BadRequest
from csms.domain.facts import Unintelligible
from csms.domain.ids import DrEventId, EvseRef, PlugInId, StationId, UserId
from csms.domain.ledger import ENERGY_BOUGHT, ENERGY_SOLD, EntryKind, LedgerEntry, Posting, user_account
from csms.domain.permission import PlugIn
from csms.edge.http import driver
from csms.edge.http.limits import MAX_BODY_BYTES
from csms.store import reads, writes
from tests.control.kit import START, World, until
from tests.http.kit import EVSE, STATION, bearer, link, registration

EVENT = {
    "direction": "down",
    "requested_w": 5000,
    "starts_at": "2026-07-01T10:00:00Z",
    "ends_at": "2026-07-01T11:00:00Z",
    "incentive_per_kwh": "20.5",
}
NEW_STATION = {"id": "ST-2", "password": "a-password-of-24-letters", "evses": [{"evse": 1, "max_discharge_w": 6000}]}


def is_problem(answer: httpx.Response, status: int, field: str | None = None) -> bool:
    body = answer.json()
    return (
        answer.status_code == status == body["status"]
        and answer.headers["content-type"] == "application/problem+json"
        and body["detail"] != ""
        and body.get("field") == field
    )


async def test_a_call_without_a_token_is_refused_with_a_challenge(web: httpx.AsyncClient) -> None:
    answer = await web.get("/api/v1/stations")
    assert is_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_e7_too_many_wrong_tokens_of_one_address_must_wait_and_lock_no_right_one_out(
    web: httpx.AsyncClient, w: World, caplog: pytest.LogCaptureFixture
) -> None:
    """All callers may come through one proxy; and the operator sees it in the log, no oftener than the limit."""
    wrong = {"Authorization": "Bearer nonsense"}
    limit = w.settings.security.failures_per_minute
    assert [(await web.get("/api/v1/sites", headers=wrong)).status_code for _ in range(limit)] == [401] * limit
    for _ in range(3):
        blocked = await web.get("/api/v1/sites", headers=wrong)
        assert is_problem(blocked, 429)
        assert blocked.headers["retry-after"] == "60"
    assert (await web.get("/api/v1/sites", headers=bearer())).status_code == 200
    assert caplog.text.count("a wrong token of the API from") == limit
    w.clock.at += timedelta(seconds=61)
    assert (await web.get("/api/v1/sites", headers=wrong)).status_code == 401


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("read", "GET", "/api/v1/stations", 200),
        ("read", "GET", "/api/v1/summary", 200),
        ("read", "POST", "/api/v1/stations", 403),
        ("read", "DELETE", "/api/v1/dr-events/x", 403),
        ("host", "GET", f"/api/v1/stations/{STATION}", 200),
        ("host", "GET", "/api/v1/ledger", 403),
        ("driver", "GET", "/api/v1/plug-ins", 200),
        ("driver", "GET", "/api/v1/users/u-2/balance", 403),
        ("driver", "GET", "/api/v1/ledger?user=u-2", 403),
        ("driver", "GET", "/api/v1/stations", 403),
        ("shop", "GET", "/api/v1/ledger", 403),
        ("facility", "GET", "/api/v1/summary", 403),
    ],
)
async def test_a_scope_may_do_what_is_its_own(
    web: httpx.AsyncClient, scope: str, method: str, path: str, status: int
) -> None:
    answer = await web.request(method, path, headers=bearer(scope), json={} if method == "POST" else None)
    assert answer.status_code == status, answer.text
    assert status == 200 or is_problem(answer, 403)


async def test_a_host_sees_only_its_own_stations(web: httpx.AsyncClient) -> None:
    await web.post("/api/v1/stations", headers=bearer(), json=NEW_STATION | {"host": "somebody-else"})
    seen = (await web.get("/api/v1/stations", headers=bearer("host"))).json()["items"]
    assert [station["id"] for station in seen] == [STATION]
    assert is_problem(await web.get("/api/v1/stations/ST-2", headers=bearer("host")), 403)


async def test_a_station_is_provisioned_and_shown_with_its_links(web: httpx.AsyncClient, w: World) -> None:
    added = await web.post("/api/v1/stations", headers=bearer(), json=NEW_STATION)
    assert added.status_code == 201, added.text
    shown = (await web.get("/api/v1/stations/ST-2", headers=bearer("read"))).json()
    assert added.json() == shown | {"password": None}
    assert shown["evses"][0]["link"] == w.system.links.of(EvseRef(StationId("ST-2"), 1))
    assert shown["evses"][0]["max_discharge_w"] == 6000
    assert NEW_STATION["password"] not in added.text
    assert "password" not in shown
    assert is_problem(await web.post("/api/v1/stations", headers=bearer(), json=NEW_STATION), 409, "id")


async def test_the_link_of_an_evse_comes_as_a_qr_code(web: httpx.AsyncClient) -> None:
    """V2G-27: a static code per EVSE."""
    answer = await web.get(f"/api/v1/stations/{STATION}/evses/1/qr.svg", headers=bearer())
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert "<svg" in answer.text
    assert is_problem(await web.get(f"/api/v1/stations/{STATION}/evses/9/qr.svg", headers=bearer()), 404, "evse")


BAD = [
    ("/api/v1/stations", NEW_STATION | {"passwort": "x"}, "passwort"),
    ("/api/v1/stations", {"id": "ST-2", "password": "short"}, "password"),
    ("/api/v1/stations", NEW_STATION | {"site": "nowhere"}, "site"),
    ("/api/v1/stations", NEW_STATION | {"id": "a b"}, "id"),
    ("/api/v1/stations", NEW_STATION | {"evses": [{"evse": 0}]}, "evses.0.evse"),
    ("/api/v1/stations", NEW_STATION | {"evses": [{"evse": 1}, {"evse": 1}]}, "evses"),
    ("/api/v1/dr-events", EVENT | {"starts_at": "2026-07-01T10:00:00"}, "starts_at"),
    ("/api/v1/dr-events", EVENT | {"requested_w": -1}, "requested_w"),
    ("/api/v1/dr-events", EVENT | {"areas": ["atlantis"]}, "areas"),
    ("/api/v1/dr-events", EVENT | {"starts_at": "2020-01-01T00:00:00Z", "ends_at": "2020-01-01T01:00:00Z"}, "ends_at"),
    ("/api/v1/dr-events", EVENT | {"starts_at": "2026-07-01T08:59:59Z"}, "starts_at"),
    ("/api/v1/dr-events", EVENT | {"ends_at": EVENT["starts_at"]}, "ends_at"),
    ("/api/v1/dr-events", EVENT | {"priority": -1}, "priority"),
    ("/api/v1/dr-events", EVENT | {"price_per_kwh": 1}, "body"),
    ("/api/v1/dr-events", EVENT | {"incentive_per_kwh": "NaN"}, "incentive_per_kwh"),
    ("/api/v1/id-tokens", {"token": ""}, "token"),
    ("/api/v1/id-tokens", {"token": "A", "user": "nobody"}, "user"),
    ("/api/v1/id-tokens", {"token": "A", "status": "fine"}, "status"),
    (f"/api/v1/stations/{STATION}/calls", {"action": "Reset", "payload": []}, "payload"),
    (f"/api/v1/stations/{STATION}/calls", {"action": "Reset", "timeout_s": 0}, "timeout_s"),
]


@pytest.mark.parametrize(("path", "body", "field"), BAD)
async def test_a_bad_body_gets_a_problem_that_names_the_field(
    web: httpx.AsyncClient, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await web.post(path, headers=bearer(), json=body)
    status = 404 if field == "user" else 422
    assert is_problem(answer, status, field), answer.text


async def test_a_naive_time_is_refused_with_the_remedy(web: httpx.AsyncClient) -> None:
    answer = await web.post("/api/v1/dr-events", headers=bearer(), json=EVENT | {"ends_at": "2026-07-01T11:00:00"})
    assert "+09:00" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"", b"[]", b"nul"])
async def test_what_is_not_json_is_a_bad_request(web: httpx.AsyncClient, body: bytes) -> None:
    headers = bearer() | {"Content-Type": "application/json"}
    answer = await web.post("/api/v1/dr-events", headers=headers, content=body)
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit_is_refused(web: httpx.AsyncClient, declared: bool) -> None:
    async def chunks() -> Any:
        for _ in range(MAX_BODY_BYTES // 65536 + 1):
            yield b" " * 65536

    content = b" " * (MAX_BODY_BYTES + 1) if declared else chunks()
    headers = bearer() | {"Content-Type": "application/json"}
    assert is_problem(await web.post("/api/v1/dr-events", headers=headers, content=content), 413)


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "cursor=%ff", "cursor=x", "from=yesterday", "unknown=1"])
async def test_a_bad_query_gets_a_problem(web: httpx.AsyncClient, query: str) -> None:
    answer = await web.get(f"/api/v1/ledger?{query}", headers=bearer())
    assert is_problem(answer, 422, query.partition("=")[0]), answer.text


async def test_a_call_by_hand_goes_out_in_the_order_given(web: httpx.AsyncClient, w: World) -> None:
    payload = '{"z": 1, "a": {"y": 1, "b": 2}, "m": 3}'
    body = f'{{"action": "DataTransfer", "payload": {payload}, "timeout_s": 5}}'
    headers = bearer() | {"Content-Type": "application/json"}
    answer = await web.post(f"/api/v1/stations/{STATION}/calls", headers=headers, content=body)
    assert (answer.status_code, answer.json()) == (200, {"result": json.loads(payload)})
    assert w.stations.by_hand == [(STATION, "DataTransfer", ["z", "a", "m"], 5.0)]


@pytest.mark.parametrize(
    ("outcome", "status", "body"),
    [
        (CallResult({"b": 1, "a": None}), 200, {"result": {"b": 1, "a": None}}),
        (
            CallFailed("NotSupported", "no", {"x": 1}),
            200,
            {"error": {"code": "NotSupported", "description": "no", "details": {"x": 1}}},
        ),
        (Offline(), 409, None),
        (TimedOut(), 504, None),
        (BadRequest("type: is missing", field="payload"), 422, None),
    ],
)
async def test_a_call_by_hand_answers_as_the_station_did(
    web: httpx.AsyncClient, w: World, outcome: Any, status: int, body: Any
) -> None:
    w.stations.called = lambda payload: _ends(outcome)
    answer = await web.post(f"/api/v1/stations/{STATION}/calls", headers=bearer(), json={"action": "Reset"})
    assert answer.status_code == status
    assert answer.json() == body if body else is_problem(answer, status, getattr(outcome, "field", None))


def _ends(outcome: Any) -> Any:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def test_the_same_idempotency_key_changes_nothing_the_second_time(web: httpx.AsyncClient, w: World) -> None:
    headers = bearer() | {"Idempotency-Key": "k-1"}
    first = await web.post("/api/v1/dr-events", headers=headers, json=EVENT)
    again = await web.post("/api/v1/dr-events", headers=headers, json=EVENT)
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(w.system.events.open()) == 1
    other = await web.post("/api/v1/dr-events", headers=headers, json=EVENT | {"requested_w": 1})
    assert is_problem(other, 422, "Idempotency-Key")


async def test_two_posts_with_one_key_at_a_time_run_once(web: httpx.AsyncClient, w: World) -> None:
    headers = bearer() | {"Idempotency-Key": "k-3"}
    both = await asyncio.gather(*(web.post("/api/v1/dr-events", headers=headers, json=EVENT) for _ in range(2)))
    assert {answer.status_code for answer in both} <= {201, 409}
    assert len(w.system.events.open()) == 1


async def test_an_error_is_not_kept_under_an_idempotency_key(web: httpx.AsyncClient, w: World) -> None:
    w.stations.called = lambda payload: Offline()
    headers, path = bearer() | {"Idempotency-Key": "k-2"}, f"/api/v1/stations/{STATION}/calls"
    assert (await web.post(path, headers=headers, json={"action": "Reset"})).status_code == 409
    w.stations.called = CallResult
    assert (await web.post(path, headers=headers, json={"action": "Reset"})).status_code == 200


async def test_a_dr_event_is_created_shown_with_its_report_and_cancelled(web: httpx.AsyncClient, w: World) -> None:
    """P12, G11: 5 kW asked for from 10:00 on, and nobody there."""
    created = (await web.post("/api/v1/dr-events", headers=bearer(), json=EVENT | {"region": "default"})).json()
    assert (created["areas"], created["incentive_per_kwh"]) == (["default"], "20.5")
    path = f"/api/v1/dr-events/{created['id']}"
    w.clock.pass_(3600 + 1800)
    report = (await web.get(path, headers=bearer("read"))).json()
    assert (report["event"], report["requested_wh"], report["achievement"], report["evses"]) == (created, 2500, 0, [])
    listed = (await web.get("/api/v1/dr-events", headers=bearer())).json()["items"]
    assert [event["id"] for event in listed] == [created["id"]]
    assert (await web.delete(path, headers=bearer())).json()["cancelled_at"] == "2026-07-01T10:30:00Z"
    assert is_problem(await web.delete(path, headers=bearer()), 409)
    assert is_problem(await web.get("/api/v1/dr-events/none", headers=bearer()), 404, "event")


async def test_an_event_without_a_start_starts_now_and_has_its_priority(web: httpx.AsyncClient, w: World) -> None:
    """P12: an event never begins in the past, so that "now" is the server's to say."""
    body = {name: value for name, value in EVENT.items() if name != "starts_at"} | {"priority": 3}
    created = (await web.post("/api/v1/dr-events", headers=bearer(), json=body)).json()
    assert (created["starts_at"], created["priority"]) == ("2026-07-01T09:00:00Z", 3)
    (event,) = w.system.events.open()
    assert (event.starts_at, event.priority) == (START, 3)
    assert (await web.get("/api/v1/dr-events", headers=bearer("read"))).json()["items"] == [created]


async def test_prices_of_an_area_are_published_and_shown(web: httpx.AsyncClient) -> None:
    body = {"steps": [{"starts_at": "2026-07-01T10:00:00Z", "price_per_kwh": "41.5"}], "until": "2026-07-01T12:00:00Z"}
    put = await web.put("/api/v1/prices/default", headers=bearer(), json=body)
    assert put.status_code == 200, put.text
    shown = (await web.get("/api/v1/prices/default", headers=bearer("read"))).json()
    assert shown["published"][0]["steps"][0]["price_per_kwh"] == "41.5"
    assert (shown["price_now_per_kwh"], shown["currency"]) == ("30", "JPY")
    assert is_problem(await web.get("/api/v1/prices/mars", headers=bearer()), 404, "area")
    twice = body | {"steps": body["steps"] * 2}
    assert (await web.put("/api/v1/prices/default", headers=bearer(), json=twice)).status_code == 422


async def test_lists_come_in_pages(web: httpx.AsyncClient) -> None:
    for number in range(5):
        await web.post("/api/v1/id-tokens", headers=bearer(), json={"token": f"T{number}"})
    seen, cursor = [], ""
    while cursor is not None:
        query = f"limit=2&cursor={cursor}" if cursor else "limit=2"
        page = (await web.get(f"/api/v1/id-tokens?{query}", headers=bearer())).json()
        seen += [record["token"] for record in page["items"]]
        cursor = page["next"]
    assert seen == [f"T{number}" for number in range(5)]


async def test_a_transaction_that_never_ends_is_closed_by_hand_with_its_reason(
    web: httpx.AsyncClient, w: World
) -> None:
    """B6: durable, said by whom and why, and only once."""
    await w.person()
    await w.take(w.started())
    id_ = w.evse.run.transaction
    path = f"/api/v1/stations/{STATION}/transactions/{id_}/close"
    assert is_problem(await web.post(path, headers=bearer(), json={"reason": " "}), 422, "reason")
    assert (await web.post(path, headers=bearer("read"), json={"reason": "gone"})).status_code == 403
    closed = await web.post(path, headers=bearer(), json={"reason": "the box burnt"})
    assert closed.status_code == 200, closed.text
    shown = (await web.get("/api/v1/transactions?active=false", headers=bearer())).json()["items"]
    assert shown == [closed.json()]
    assert shown[0]["id"] == id_
    assert "the box burnt" in shown[0]["stopped_reason"]
    assert "operator" in shown[0]["stopped_reason"]
    assert w.evse.run.transaction is None
    assert is_problem(await web.post(path, headers=bearer(), json={"reason": "again"}), 409)
    unknown = f"/api/v1/stations/{STATION}/transactions/999999/close"
    assert (await web.post(unknown, headers=bearer(), json={"reason": "gone"})).status_code == 404


async def test_what_could_not_be_understood_is_listed_raw_and_in_pages(web: httpx.AsyncClient, w: World) -> None:
    """B9, V2G-39: of one station or of all; for operators only, since frames may name people."""
    for number in range(3):
        raw = f'[2,"m","StopTransaction",{{"idTag":"{"x" * (40 + number)}"}}]'
        await w.take(
            Unintelligible(
                origin=w.origin(), action="StopTransaction", raw=raw, why="idTag: too long", fields={"meterStop": 7}
            )
        )
    first = (await web.get(f"/api/v1/quarantine?station={STATION}&limit=2", headers=bearer())).json()
    rest = (await web.get(f"/api/v1/quarantine?limit=2&cursor={first['next']}", headers=bearer())).json()
    found = [*first["items"], *rest["items"]]
    assert [len(kept["raw"]) for kept in found] == [len(raw) - 2, len(raw) - 1, len(raw)]
    assert rest["next"] is None
    kept = found[-1]
    assert (kept["station"], kept["action"], kept["raw"], kept["why"], kept["fields"]) == (
        STATION,
        "StopTransaction",
        raw,
        "idTag: too long",
        {"meterStop": 7},
    )
    assert (await web.get("/api/v1/quarantine?station=other", headers=bearer())).json()["items"] == []
    assert (await web.get("/api/v1/quarantine", headers=bearer("read"))).status_code == 403


async def test_the_ledger_comes_in_pages_with_its_evidence(web: httpx.AsyncClient, w: World) -> None:
    await w.store.writer.run(lambda conn: writes.post_entries(conn, [_sale(n) for n in range(3)]))
    first = (await web.get("/api/v1/ledger?limit=2", headers=bearer())).json()
    rest = (await web.get(f"/api/v1/ledger?limit=2&cursor={first['next']}", headers=bearer("driver"))).json()
    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (2, 1, None)
    assert rest["items"][0]["evidence"] == {"readings": [1, 2]}


def _sale(number: int, user: str = "u-1") -> LedgerEntry:
    start = START - timedelta(hours=number + 1)
    return LedgerEntry(
        cause=f"p-1:{start.isoformat()}:sale",
        revision=0,
        kind=EntryKind.SALE,
        posted_at=START,
        period_start=start,
        period_end=start + timedelta(minutes=30),
        user=UserId(user),
        vehicle=None,
        evse=EVSE,
        plug_in=PlugInId("p-1"),
        event=None,
        energy_wh=1000,
        price_per_kwh=Decimal(50),
        currency="JPY",
        postings=(Posting(user_account(UserId(user)), 50), Posting(ENERGY_BOUGHT, -50)),
        evidence={"readings": [1, 2]},
    )


async def test_a_balance_covers_the_period_asked_for(phone: httpx.AsyncClient, w: World, me: str) -> None:
    """P13: over any period the user picks."""
    await w.store.writer.run(lambda conn: writes.post_entries(conn, [_sale(n, me) for n in range(3)]))
    path = f"/api/v1/users/{me}/balance"
    whole = (await phone.get(path, headers=bearer("me"))).json()
    assert (whole["sold_wh"], whole["earned_minor"], whole["amount_minor"], whole["currency"]) == (
        3000,
        150,
        150,
        "JPY",
    )
    part = (await phone.get(f"{path}?from=2026-07-01T07:30:00Z&to=2026-07-01T09:00:00Z", headers=bearer())).json()
    assert (part["sold_wh"], part["amount_minor"]) == (1000, 50)
    history = (await phone.get("/d/api/history")).json()
    assert [line["amount_minor"] for line in history["entries"]] == [50, 50, 50]


async def test_what_is_taken_back_and_booked_anew_counts_once(phone: httpx.AsyncClient, w: World, me: str) -> None:
    """P13: a sale at 50 that was worth 40, and a purchase of which half never flowed; signs and Wh stay right."""
    sale = _sale(1, me)
    taken = replace(_correction(sale, -1000, -50), revision=1)
    anew = replace(_correction(sale, 1000, 40), revision=2, price_per_kwh=Decimal(40))
    bought = replace(
        _correction(sale, 1000, -30), cause=sale.cause.replace("sale", "purchase"), kind=EntryKind.PURCHASE
    )
    less = replace(_correction(bought, -500, 15), revision=1)
    await w.store.writer.run(lambda conn: writes.save_plug_in(conn, _plug_in(me)))
    await w.store.writer.run(lambda conn: writes.post_entries(conn, [sale, taken, anew, bought, less]))
    balance = (await phone.get(f"/api/v1/users/{me}/balance", headers=bearer("me"))).json()
    names = ("sold_wh", "earned_minor", "bought_wh", "spent_minor", "amount_minor")
    assert [balance[name] for name in names] == [1000, 40, 500, 15, 25]
    history = (await phone.get("/d/api/history")).json()
    assert [(line["sale"], line["energy_wh"], line["amount_minor"]) for line in history["entries"]] == [
        (True, 1000, 50),
        (True, -1000, -50),
        (True, 1000, 40),
        (False, 1000, -30),
        (False, -500, 15),
    ]
    (mine,) = history["plug_ins"]
    assert (mine["sold_wh"], mine["bought_wh"], mine["amount_minor"]) == (1000, 500, 25)


async def test_a_plug_in_shows_its_sums_however_many_entries_came_before_it(
    phone: httpx.AsyncClient, w: World, me: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P13: what a page of the ledger does not hold counts in the sums all the same, and they add up to the balance."""
    monkeypatch.setattr(driver, "HISTORY_ENTRIES", 5)
    sales = [_sale(n, me) for n in range(7)]
    late = replace(_sale(1, me), cause="late", plug_in=PlugInId("p-2"))
    foreign = replace(_sale(2, me), cause="foreign", plug_in=PlugInId("p-2"), currency="EUR")
    another = replace(_plug_in(me), id=PlugInId("p-2"), plugged_at=START - timedelta(hours=2))
    await w.store.writer.run(lambda conn: [writes.save_plug_in(conn, each) for each in (_plug_in(me), another)])
    await w.store.writer.run(lambda conn: writes.post_entries(conn, [*sales, late, foreign]))
    period = "from=2026-06-01T00:00:00Z&to=2026-08-01T00:00:00Z"
    history = (await phone.get(f"/d/api/history?{period}")).json()
    assert [(one["id"], one["sold_wh"], one["amount_minor"]) for one in history["plug_ins"]] == [
        ("p-2", 1000, 50),
        ("p-1", 7000, 350),
    ]
    assert len(history["entries"]) == 5
    assert (await phone.get(f"/d/api/balance?{period}")).json()["amount_minor"] == 400


def _plug_in(user: str) -> PlugIn:
    return PlugIn(id=PlugInId("p-1"), evse=EVSE, plugged_at=START - timedelta(hours=3), user=UserId(user))


def _correction(entry: LedgerEntry, energy_wh: int, minor: int) -> LedgerEntry:
    other = ENERGY_SOLD if minor < 0 < energy_wh else entry.postings[1].account
    postings = (Posting(user_account(entry.user), minor), Posting(other, -minor))
    return replace(entry, kind=EntryKind.CORRECTION, energy_wh=energy_wh, postings=postings)


@pytest.mark.usefixtures("running")
async def test_every_get_of_the_openapi_answers(phone: httpx.AsyncClient, w: World, me: str) -> None:
    """What is documented is there: no GET of the schema is unknown or fails on our side."""
    await w.store.writer.run(lambda conn: writes.save_plug_in(conn, _plug_in(me)))
    event = (await phone.post("/api/v1/dr-events", headers=bearer(), json=EVENT)).json()["id"]
    (vehicle,) = await w.store.read(lambda conn: reads.vehicles(conn, UserId(me)))
    parked: list[object] = []
    w.system.rooms.intake.receive(
        Unintelligible(origin=w.origin(), action="StartTransaction", raw="[]", why="meterStart"), parked.append
    )
    await until(lambda: bool(parked))
    values = {"station": STATION, "evse": "1", "event": event, "area": "default", "user": me, "plug_in": "p-1"}
    values |= {"vehicle": vehicle.id, "id": "1"}
    schema = (await phone.get("/api/openapi.json")).json()
    paths = [path for path, methods in schema["paths"].items() if "get" in methods and not path.endswith("/events")]
    paths.remove("/api/v1/ledger/{entry}/frames")  # needs an entry that was metered: test_entry_frames
    needs = {"/d/api/evse": f"?link={quote(link(w))}"}
    answers = {
        path: (await phone.get(path.format(**values) + needs.get(path, ""), headers=bearer())).status_code
        for path in [*paths, "/api/v1/dr-events"]
    }
    assert {path: status for path, status in answers.items() if status != 200} == {}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
POSTS = {
    "/api/v1/stations": NEW_STATION,
    "/api/v1/dr-events": EVENT,
    "/api/v1/id-tokens": {"token": "A", "expires_at": None, "group": "g"},
    f"/api/v1/stations/{STATION}/calls": {"action": "Reset", "payload": {}, "timeout_s": 1},
    "/d/api/register": registration("/d/e/CS-1/1?s=forged"),
    "/d/api/plug-ins/p-1/answer": {"granted": True, "conditions": {"depart_at": "07:00", "slots": []}},
}


def _good(path: str, w: World) -> dict[str, Any]:
    return POSTS[path] | ({"link": link(w)} if "link" in POSTS[path] else {})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(sorted(POSTS)), data=st.data())
async def test_no_body_ever_makes_our_side_fail(
    phone: httpx.AsyncClient, w: World, path: str, data: st.DataObject
) -> None:
    """Whatever comes in, the answer is a success or a problem with its field, never a 500."""
    body = _good(path, w)
    field = data.draw(st.sampled_from(sorted(body)))
    content = json.dumps(body | {field: data.draw(ANYTHING)})
    answer = await phone.post(path, headers=bearer() | {"Content-Type": "application/json"}, content=content)
    assert answer.status_code < 500
    assert answer.is_success or answer.headers["content-type"] == "application/problem+json"


AWKWARD = ["\x00", "\ud800", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", 10**30, "NaN", "٣", "1e999"]


@pytest.mark.parametrize("value", AWKWARD)
@pytest.mark.parametrize("path", POSTS)
async def test_awkward_values_never_make_our_side_fail(
    phone: httpx.AsyncClient, w: World, path: str, value: Any
) -> None:
    headers, body = bearer() | {"Content-Type": "application/json"}, _good(path, w)
    for field in body:
        for wrapped in (value, {"x": value}, [value]):
            answer = await phone.post(path, headers=headers, content=json.dumps(body | {field: wrapped}))
            assert answer.status_code < 500, (field, wrapped)


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    "value", ["%00", "%ed%a0%80", "..%2f", "0001-01-01T00:00:00%2B14:00", "%F0%9F%9A%97", "x" * 300]
)
async def test_awkward_paths_and_queries_never_make_our_side_fail(phone: httpx.AsyncClient, value: str) -> None:
    paths = (await phone.get("/api/openapi.json")).json()["paths"]
    for path in [path for path, methods in paths.items() if "get" in methods and not path.endswith("/events")]:
        placed = re.sub(r"\{\w+\}", value, path)
        for query in ("", f"?from={value}", f"?user={value}&cursor={value}", f"?link={value}&since={value}"):
            answer = await phone.get(placed + query, headers=bearer())
            assert answer.status_code < 500, placed + query


async def test_readiness_follows_the_control(web: httpx.AsyncClient, w: World) -> None:
    async def statuses() -> list[int]:
        return [(await web.get(path)).status_code for path in ("/healthz", "/readyz")]

    assert await statuses() == [200, 503]
    w.system.run()
    assert await statuses() == [200, 200]
    await w.system.stop()
    assert await statuses() == [200, 503]


async def test_every_answer_carries_the_security_headers(web: httpx.AsyncClient) -> None:
    for path in ("/d/", "/api/v1/stations", "/nowhere", "/d/app.js", "/healthz"):
        headers = (await web.get(path)).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


async def test_a_registered_driver_is_a_user_of_the_api(phone: httpx.AsyncClient, me: str) -> None:
    shown = (await phone.get(f"/api/v1/users/{me}", headers=bearer("read"))).json()
    assert (shown["user"]["name"], shown["vehicles"][0]["name"]) == ("Aiko", "Leaf")
    assert is_problem(await phone.get("/api/v1/users/u-9", headers=bearer("read")), 404, "user")
    listed = (await phone.get("/api/v1/users", headers=bearer("read"))).json()
    assert [user["id"] for user in listed["items"]] == [me]
    assert (await phone.get("/api/v1/users", headers=bearer("me"))).status_code == 403


async def test_granted_benefits_are_read_by_their_driver_and_by_the_operator(web: httpx.AsyncClient, w: World) -> None:
    """G9: a driver sees the own ones only; filters and pages as in the ledger."""
    made = [_grant(n, user) for n, user in enumerate(("u-1", "u-1", "u-2"))]
    await w.store.writer.run(lambda conn: writes.post_entries(conn, [], grants=made))
    everything = (await web.get("/api/v1/grants?limit=2", headers=bearer())).json()
    rest = (await web.get(f"/api/v1/grants?cursor={everything['next']}", headers=bearer())).json()
    assert [(each["user"], each["amount"]) for each in (*everything["items"], *rest["items"])] == [
        ("u-1", 10),
        ("u-1", 11),
        ("u-2", 12),
    ]
    own = (await web.get("/api/v1/grants", headers=bearer("driver"))).json()["items"]
    assert [(each["unit"], each["plug"], each["user"]) for each in own] == [("points", "points-1", "u-1")] * 2
    later = f"/api/v1/grants?from={(START + timedelta(hours=1)).isoformat().replace('+', '%2B')}"
    assert len((await web.get(later, headers=bearer())).json()["items"]) == 2
    assert (await web.get("/api/v1/grants?user=u-2", headers=bearer("driver"))).status_code == 403
    assert (await web.get("/api/v1/grants", headers=bearer("shop"))).status_code == 403


def _grant(number: int, user: str) -> BenefitGrant:
    start = START + timedelta(hours=number)
    return BenefitGrant(
        cause=f"p-{number}:{start.isoformat()}:dr-1:points-1:points",
        revision=0,
        granted_at=START,
        user=UserId(user),
        plug_in=PlugInId(f"p-{number}"),
        evse=EVSE,
        event=DrEventId("dr-1"),
        plug="points-1",
        unit="points",
        amount=10 + number,
        moved_wh=1000,
        period_start=start,
        period_end=start + timedelta(minutes=30),
    )
