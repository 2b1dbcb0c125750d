"""What could not be understood, taken in again by an operator. B9, V2G-39."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from csms.domain.facts import IdToken, Unintelligible
from csms.domain.station import ConnectorStatus, Version
from csms.store import reads
from tests.control.kit import AOI, CARD, KEN, S, World
from tests.http.kit import bearer

START_BAD = {"connectorId": 1, "idTag": CARD.value, "meterStart": "lots", "timestamp": "2026-07-01T09:00:00Z"}
START_GOOD = START_BAD | {"meterStart": 1000}


@pytest.fixture
async def bad(w: World) -> str:
    """A start whose register nobody can read, its stop behind it; the id that the station was given."""
    w.station.version = Version.V16
    await w.person()
    raw = json.dumps([2, "m-bad", "StartTransaction", START_BAD])
    (answer,) = await w.take(Unintelligible(origin=w.origin(), action="StartTransaction", raw=raw, why="meterStart"))
    given = str(answer.transaction)  # type: ignore[union-attr]
    w.clock.pass_(3600)
    await w.take(w.stopped(given, meter_stop_wh=8000))
    w.clock.pass_(3600)
    await w.system.rooms.settlement.run()
    return given


async def replay(web: httpx.AsyncClient, body: dict[str, Any], scope: str = "operator", **headers: str) -> Any:
    return await web.post("/api/v1/quarantine/1/replay", headers=bearer(scope) | headers, json=body)


async def test_a_corrected_start_becomes_its_transaction_and_is_settled(
    web: httpx.AsyncClient, w: World, bad: str
) -> None:
    """B9: the id its station was given, the stop that named it, and the money of its card's user."""
    before = (await web.get("/api/v1/quarantine/1", headers=bearer())).json()
    assert before["replays"] == []
    assert (await replay(web, {})).status_code == 409, "as it came it cannot be read"
    answer = await replay(web, {"payload": START_GOOD})
    assert answer.status_code == 200, answer.text
    await w.quiet()
    after = (await web.get("/api/v1/quarantine/1", headers=bearer())).json()
    assert after == answer.json()
    assert (after["raw"], after["why"]) == (before["raw"], before["why"]), "what came stays as it came"
    (told,) = after["replays"]
    assert (told["by"], told["taken_as"]) == ("operator", "TransactionStarted")
    assert told["at"].startswith(f"{w.clock.now():%Y-%m-%dT%H:%M:%S}")
    assert json.loads(told["raw"])[3] == START_GOOD
    (record,) = await w.store.read(reads.transactions)
    assert (record.id, record.meter_start_wh, record.meter_stop_wh, record.incomplete) == (bad, 1000, 8000, False)
    await w.system.rooms.settlement.run()
    entries = (await web.get(f"/api/v1/ledger?user={AOI}", headers=bearer())).json()["items"]
    assert sum(entry["energy_wh"] for entry in entries) == 7000


async def test_values_that_are_taken_in_again_are_settled_at_their_own_time(web: httpx.AsyncClient, w: World) -> None:
    """B9: also where that time was settled long ago."""
    w.station.version = Version.V16
    await w.person()
    await w.plug()
    await w.say()
    started = w.clock.now()
    await w.take(w.started(meter_start_wh=0))
    w.clock.pass_(1800)
    sample = {"measurand": "Energy.Active.Import.Register", "unit": "Wh", "value": "3500"}
    value = {"timestamp": f"{w.clock.now():%Y-%m-%dT%H:%M:%SZ}", "sampledValue": [sample]}
    payload = {"connectorId": 1, "transactionId": int(w.evse.run.transaction or 0), "meterValue": [value]}
    bad = Unintelligible(
        origin=w.origin(), action="MeterValues", raw=json.dumps([2, "m-mv", "MeterValues", {}]), why="cut off"
    )
    await w.take(bad)
    w.clock.pass_(4 * 3600)
    assert await w.system.rooms.settlement.run() == 0
    for _ in range(2):
        assert (await replay(web, {"payload": payload})).status_code == 200
    await w.quiet()
    stored = await w.store.read(lambda conn: reads.readings(conn, w.evse.ref, started, w.clock.now()))
    assert [found.reading.at for found in stored] == [started + timedelta(minutes=30)]
    assert await w.system.rooms.settlement.run() > 0
    entries = (await web.get(f"/api/v1/ledger?user={AOI}", headers=bearer())).json()["items"]
    assert sum(entry["energy_wh"] for entry in entries) == 3500
    assert len((await web.get("/api/v1/quarantine/1", headers=bearer())).json()["replays"]) == 2


async def test_a_start_completes_the_transaction_that_was_adopted_under_its_id(
    web: httpx.AsyncClient, w: World
) -> None:
    """Lessons 10, 25: its values named the id that the station was given. It is not a second one."""
    w.station.version = Version.V16
    await w.person()
    raw = json.dumps([2, "m-bad", "StartTransaction", START_BAD])
    (answer,) = await w.take(Unintelligible(origin=w.origin(), action="StartTransaction", raw=raw, why="meterStart"))
    given = str(answer.transaction)  # type: ignore[union-attr]
    await w.plug(user=None)
    w.clock.pass_(60)
    await w.take(w.metered(transaction=given, import_wh=1100.0))
    assert w.evse.run.transaction == given
    assert (await replay(web, {"payload": START_GOOD})).status_code == 200
    await w.quiet()
    (record,) = await w.store.read(reads.transactions)
    assert (record.id, record.meter_start_wh, record.token) == (given, 1000, CARD.key)
    assert w.evse.run.transaction == given


async def test_the_same_idempotency_key_replays_once(web: httpx.AsyncClient, w: World, bad: str) -> None:
    key = {"Idempotency-Key": "k1"}
    answers = [await replay(web, {"payload": START_GOOD}, **key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert len((await web.get("/api/v1/quarantine/1", headers=bearer())).json()["replays"]) == 1


async def test_a_replay_is_for_operators_and_of_what_is_there(web: httpx.AsyncClient, w: World, bad: str) -> None:
    for scope in ("read", "host", "driver"):
        assert (await replay(web, {}, scope)).status_code == 403
        assert (await web.get("/api/v1/quarantine/1", headers=bearer(scope))).status_code == 403
    assert (await web.get("/api/v1/quarantine/9", headers=bearer())).status_code == 404
    assert (await web.post("/api/v1/quarantine/9/replay", headers=bearer(), json={})).status_code == 404


@pytest.mark.parametrize(
    "payload",
    [{}, {"connectorId": 1}, START_GOOD | {"meterStart": 2**80}, START_GOOD | {"idTag": "\x00\ud800"}, {"x": {"y": 1}}],
)
async def test_a_correction_that_is_none_changes_nothing(
    web: httpx.AsyncClient, w: World, bad: str, payload: dict[str, Any]
) -> None:
    """A clear 409 and no trace, whatever was sent."""
    body = json.dumps({"payload": payload}).encode()
    answer = await web.post("/api/v1/quarantine/1/replay", headers=bearer(), content=body)
    assert answer.status_code in {400, 409, 422}, answer.text
    await w.quiet()
    assert (await web.get("/api/v1/quarantine/1", headers=bearer())).json()["replays"] == []
    assert await w.store.read(reads.transactions) == []
    assert S in w.system.live.stations


async def test_v2g_55_starts_of_one_message_id_each_get_the_id_that_their_station_was_given(
    web: httpx.AsyncClient, w: World
) -> None:
    """A station that boots counts its messages from 1 again: the second start never ended, and was paid by nobody."""
    w.station.version = Version.V16
    await w.person()
    given: list[str] = []
    corrected: list[dict[str, Any]] = []
    for number, meter in enumerate(("lots", "heaps")):
        said = START_BAD | {"meterStart": meter, "timestamp": f"{w.clock.now():%Y-%m-%dT%H:%M:%SZ}"}
        raw, origin = json.dumps([2, "7", "StartTransaction", said]), replace(w.origin(), message_id="7")
        bad = Unintelligible(origin=origin, action="StartTransaction", raw=raw, why="meterStart")
        (answer,) = await w.take(bad)
        given.append(str(answer.transaction))  # type: ignore[union-attr]
        w.clock.pass_(3600)
        await w.take(w.stopped(given[-1], meter_stop_wh=8000 * (number + 1)))
        w.clock.pass_(3600)
        corrected.append(said | {"meterStart": 1000 + 8000 * number})
    for number, payload in enumerate(corrected, 1):
        path = f"/api/v1/quarantine/{number}/replay"
        assert (await web.post(path, headers=bearer(), json={"payload": payload})).status_code == 200
    await w.quiet()
    found = await w.store.read(reads.transactions)
    told = [(one.id, one.meter_start_wh, one.meter_stop_wh, one.incomplete) for one in found]
    assert told == [(given[0], 1000, 8000, False), (given[1], 9000, 16_000, False)]


STATUS = {"connectorId": 1, "errorCode": "NoError"}


async def kept_bad(w: World, action: str, payload: dict[str, Any]) -> dict[str, Any]:
    """A message that nobody could read when it came; as it should have been."""
    raw = json.dumps([2, f"m-{action}-{len(payload)}-{w.counter}", action, {}])
    await w.take(Unintelligible(origin=w.origin(), action=action, raw=raw, why="cut off"))
    return payload | {"timestamp": f"{w.clock.now():%Y-%m-%dT%H:%M:%SZ}"}


@pytest.mark.parametrize("restarts", [False, True])
async def test_s1_what_is_taken_in_again_of_yesterday_ends_nothing_and_takes_nothing_of_today(
    web: httpx.AsyncClient, w: World, *, restarts: bool
) -> None:
    """B1, B9: yesterday's free connector ended Ken's plug-in, and yesterday's start made his car Aoi's."""
    w.station.version = Version.V16
    await w.person()
    await w.person(KEN, None, IdToken("CARD-KEN"))
    said = [
        ("StatusNotification", STATUS | {"status": "Available"}),
        ("StatusNotification", STATUS | {"status": "Preparing"}),
        ("StartTransaction", {"connectorId": 1, "idTag": CARD.value, "meterStart": 5}),
    ]
    yesterdays = [await kept_bad(w, action, payload) for action, payload in said]
    w.clock.pass_(86_400)
    await w.plug(KEN)
    await w.say()
    w.clock.pass_(600)
    await w.take(w.started(IdToken("CARD-KEN"), meter_start_wh=100), w.status(ConnectorStatus.CHARGING))
    before, runs = w.plug_in.id, w.evse.run.transaction
    for number, payload in enumerate(yesterdays, 1):
        path = f"/api/v1/quarantine/{number}/replay"
        assert (await web.post(path, headers=bearer(), json={"payload": payload})).status_code == 200
        await w.quiet()
        if restarts:
            await w.restart()
        await w.system.reactions.sweep()
        await w.quiet()
        assert (w.plug_in.id, w.plug_in.user, w.evse.run.transaction) == (before, KEN, runs)
        assert [one.status for one in w.evse.cable.statuses.values()] == [ConnectorStatus.CHARGING]


async def test_b9_a_start_of_yesterday_that_is_taken_in_again_begins_nothing_at_a_free_evse(
    web: httpx.AsyncClient, w: World
) -> None:
    """2.x, of an EVSE that told no status: whoever came next stood in Aoi's plug-in."""
    await w.person()
    started = {
        "eventType": "Started",
        "triggerReason": "Authorized",
        "seqNo": 0,
        "transactionInfo": {"transactionId": "old", "chargingState": "Charging"},
        "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": CARD.value, "type": "ISO14443"},
    }
    payload = await kept_bad(w, "TransactionEvent", started)
    w.clock.pass_(86_400)
    assert (
        await web.post("/api/v1/quarantine/1/replay", headers=bearer(), json={"payload": payload})
    ).status_code == 200
    await w.quiet()
    assert (w.evse.plug_in, w.evse.run.transaction) == (None, None)


async def test_b9_a_status_of_now_that_is_taken_in_again_counts(web: httpx.AsyncClient, w: World) -> None:
    w.station.version = Version.V16
    await w.take(w.status(ConnectorStatus.AVAILABLE))
    w.clock.pass_(60)
    payload = await kept_bad(w, "StatusNotification", STATUS | {"status": "Preparing"})
    w.clock.pass_(30)
    assert (
        await web.post("/api/v1/quarantine/1/replay", headers=bearer(), json={"payload": payload})
    ).status_code == 200
    await w.quiet()
    assert w.evse.plug_in is not None
