"""From a ledger entry back to the frames it came from. M2."""

import json
import random
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, delete, select

import handlers
from csms.domain.ids import StationId
from csms.domain.ports import Admitted
from csms.domain.station import BootState, Quirks, Version
from csms.edge.hub import Hub
from csms.edge.session import Session
from csms.store.tables import FRAME_PAGE, METER_VALUE, TRANSACTION
from csms.store.values import instant
from handlers.times import spelt
from tests.control.kit import CARD, S, World, until
from tests.http.kit import bearer


class Wire:
    """A socket that remembers what went out."""

    source = "test"
    place = None

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, text: bytes) -> None:
        self.sent.append(text)

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"closed: {code} {reason}")


class Wired:
    """A 1.6 station whose frames take the whole way through the edge; what it said and heard, in order."""

    def __init__(self, w: World) -> None:
        self.w, self.wire = w, Wire()
        hub = Hub(w.system.rooms.intake, w.system.admission, w.clock, w.settings.ocpp, handlers, w.store.keep)
        admitted = Admitted(station=StationId(S), quirks=Quirks(), boot_state=BootState.ACCEPTED)
        self.session: Session = hub.opened(self.wire, admitted, Version.V16)  # type: ignore[arg-type]
        self.said: list[str] = []

    async def say(self, action: str, payload: dict[str, Any]) -> Any:
        """A CALL, until it is answered; the answer's payload."""
        frame = json.dumps([2, f"m-{len(self.said)}", action, payload], separators=(",", ":"))
        self.said.append(frame)
        before = len(self.wire.sent)
        self.session.received(frame.encode())
        await until(lambda: len(self.wire.sent) > before)
        await self.w.quiet()
        return json.loads(self.wire.sent[-1])[2]

    async def sample(self, import_wh: float, transaction: int | None, at: datetime | None = None) -> None:
        sampled = [{"value": str(import_wh), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}]
        value = {"timestamp": spelt(at or self.w.clock.now()), "sampledValue": sampled}
        named = {} if transaction is None else {"transactionId": transaction}
        await self.say("MeterValues", {"connectorId": 1, "meterValue": [value], **named})

    async def status(self, status: str) -> None:
        stamp = {"timestamp": spelt(self.w.clock.now())}
        await self.say("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": status, **stamp})

    async def session_of(self, seed: int) -> None:
        """A card, a cable, a transaction with samples at random times, some of them late, and its stop."""
        rng = random.Random(seed)
        await self.status("Preparing")
        await self.say("Authorize", {"idTag": CARD.value})
        self.w.clock.pass_(20)
        start = {"connectorId": 1, "idTag": CARD.value, "meterStart": 1000}
        begun = await self.say("StartTransaction", start | {"timestamp": spelt(self.w.clock.now())})
        await self.status("Charging")
        meter_wh, queue = 1000.0, []
        for _ in range(rng.randrange(3, 12)):
            seconds = rng.choice([30, 60, 600, 1500])
            self.w.clock.pass_(seconds)
            meter_wh += seconds * rng.choice([0, 1.5])
            if rng.random() < 0.2:
                queue.append((meter_wh, self.w.clock.now()))
            else:
                await self.sample(meter_wh, begun["transactionId"])
        for value_wh, at in queue:
            await self.sample(value_wh, begun["transactionId"], at)
        stop = {"transactionId": begun["transactionId"], "meterStop": round(meter_wh), "reason": "EVDisconnected"}
        await self.say("StopTransaction", stop | {"timestamp": spelt(self.w.clock.now())})
        await self.status("Available")
        self.w.clock.pass_(3700)


@pytest.fixture
async def wired(w: World) -> Wired:
    await w.person()
    return Wired(w)


async def settled(w: World) -> None:
    await w.system.rooms.settlement.run()
    await w.store.writer.run(lambda _conn: None)


async def entries(web: httpx.AsyncClient) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await web.get("/api/v1/ledger", headers=bearer())).json()["items"]
    return items


async def frames_of(web: httpx.AsyncClient, entry: dict[str, Any], **query: Any) -> Any:
    answer = await web.get(f"/api/v1/ledger/{entry['id']}/frames", params={"limit": 500} | query, headers=bearer())
    assert answer.status_code == 200, answer.text
    return answer.json()


def origins(conn: Connection, ids: list[int]) -> list[tuple[str, datetime]]:
    return list(_origins(conn, ids))


def _origins(conn: Connection, ids: list[int]) -> Iterator[tuple[str, datetime]]:
    """Message and time of receipt of each reading that an entry names, straight from the tables."""
    for id_ in ids:
        if id_ > 0:
            row = conn.execute(select(METER_VALUE).where(METER_VALUE.c.id == id_)).one()
            yield row.message_id, instant(row.received_at)
            continue
        number, is_stop = (-id_ - 1) // 2 if id_ % 2 else -id_ // 2, id_ % 2 == 1
        row = conn.execute(select(TRANSACTION).where(TRANSACTION.c.id == number)).one()
        stopped, started = (row.stop_message_id, row.stop_received_at), (row.start_message_id, row.received_at)
        message_id, at = stopped if is_stop else started
        yield message_id, instant(at)


@pytest.mark.parametrize("seed", range(6))
async def test_the_frames_of_an_entry_hold_that_of_every_reading_it_was_computed_from(
    web: httpx.AsyncClient, w: World, wired: Wired, seed: int
) -> None:
    """M2: whatever was said when, two vehicles after one another, a restart between them."""
    await wired.session_of(seed)
    await w.restart()
    wired = Wired(w)
    wired.said = [""] * 100
    await wired.session_of(seed + 100)
    await settled(w)
    found = await entries(web)
    assert found, "nothing was booked"
    for entry in found:
        answer = await frames_of(web, entry)
        of_readings = [frame for frame in answer["items"] if "reading" in frame["purposes"]]
        kept = {(frame["message_id"], datetime.fromisoformat(frame["at"])) for frame in of_readings}
        named = await w.store.read(partial(origins, ids=entry["evidence"]["readings"]))
        assert named
        assert set(named) <= kept
        assert answer["missing"] == []


async def test_the_frames_of_an_entry_stand_in_order_in_both_directions_as_they_were_on_the_wire(
    web: httpx.AsyncClient, w: World, wired: Wired
) -> None:
    """M2: what was said at the plug-in, the card, start, samples, stop, each with its answer."""
    await wired.session_of(1)
    await settled(w)
    (entry, *_) = await entries(web)
    frames = (await frames_of(web, entry))["items"]
    said, heard = [[f["raw"] for f in frames if f["direction"] == way] for way in ("in", "out")]
    assert said == [frame for frame in wired.said if frame in said], "as they were said"
    assert heard == [sent.decode() for sent in wired.wire.sent if sent.decode() in heard]
    assert [json.loads(raw)[1] for raw in said] == [json.loads(raw)[1] for raw in heard], "each is answered"
    actions = {json.loads(frame["raw"])[2]: set(frame["purposes"]) for frame in frames if frame["direction"] == "in"}
    assert actions["Authorize"] == actions["StatusNotification"] == {"permission"}
    assert "transaction" in actions["StartTransaction"]
    assert "reading" in actions["MeterValues"]
    assert [frame["id"] for frame in frames] == sorted(frame["id"] for frame in frames)


async def test_frames_are_paged_and_for_operators_only(web: httpx.AsyncClient, w: World, wired: Wired) -> None:
    await wired.session_of(1)
    await settled(w)
    (entry, *_) = await entries(web)
    whole = (await frames_of(web, entry))["items"]
    first = await frames_of(web, entry, limit=3)
    paged, cursor = first["items"], first["next"]
    while cursor:
        following = await frames_of(web, entry, limit=3, cursor=cursor)
        paged, cursor = paged + following["items"], following["next"]
    assert paged == whole
    path = f"/api/v1/ledger/{entry['id']}/frames"
    refused = [(await web.get(path, headers=bearer(scope))).status_code for scope in ("read", "driver", "host")]
    assert refused == [403, 403, 403]
    assert (await web.get(path)).status_code == 401
    assert (await web.get("/api/v1/ledger/999/frames", headers=bearer())).status_code == 404


async def test_what_retention_has_taken_is_said(web: httpx.AsyncClient, w: World, wired: Wired) -> None:
    """One page gone: named beside what is left. All gone: 410 with the setting's name."""
    await wired.session_of(1)
    await settled(w)
    (entry, *_) = await entries(web)
    whole = (await frames_of(web, entry))["items"]
    w.clock.pass_(500 * 86_400)
    first = int(whole[0]["id"].split("-")[1])
    await w.store.writer.run(lambda conn: conn.execute(delete(FRAME_PAGE).where(FRAME_PAGE.c.id == first)))
    answer = await frames_of(web, entry)
    assert 0 < len(answer["items"]) < len(whole)
    assert {each["message_id"] for each in answer["missing"]} >= {whole[0]["message_id"]}
    assert "frames_days is 400" in answer["missing"][0]["why"]
    await w.store.writer.run(lambda conn: conn.execute(delete(FRAME_PAGE)))
    gone = await web.get(f"/api/v1/ledger/{entry['id']}/frames", headers=bearer())
    assert (gone.status_code, gone.json()["reason"]) == (410, "retention")
    assert "frames_days is 400" in gone.json()["detail"]


async def test_after_the_retention_of_the_frames_their_entry_says_since_when_they_are_gone(
    web: httpx.AsyncClient, w: World, wired: Wired
) -> None:
    """What bounds the energy to come stays: the last registers. Before that day nothing goes."""
    await wired.session_of(1)
    await settled(w)
    (entry, *_) = await entries(web)
    whole = await frames_of(web, entry)
    w.clock.pass_(399 * 86_400)
    await settled(w)
    await w.system.retention.run()
    assert await frames_of(web, entry) == whole
    w.clock.pass_(3 * 86_400)
    await settled(w)
    await w.system.retention.run()
    left = await frames_of(web, entry)
    assert {json.loads(frame["raw"])[2] for frame in left["items"] if frame["direction"] == "in"} <= {
        *("StartTransaction", "MeterValues", "StopTransaction")
    }
    assert len(left["items"]) < len(whole["items"]) / 2
    assert {"frames_days is 400" in each["why"] for each in left["missing"]} == {True}


async def test_of_a_start_that_was_corrected_in_the_quarantine_the_frame_that_came_is_shown(
    web: httpx.AsyncClient, w: World, wired: Wired
) -> None:
    """V2G-39, M2: the entry follows from somebody's correction, and from the frame behind it."""
    start = {"connectorId": 1, "idTag": CARD.value, "meterStart": "lots", "timestamp": spelt(w.clock.now())}
    begun = await wired.say("StartTransaction", start)
    w.clock.pass_(3600)
    stop = {"transactionId": begun["transactionId"], "meterStop": 8000, "timestamp": spelt(w.clock.now())}
    await wired.say("StopTransaction", stop)
    w.clock.pass_(3600)
    await settled(w)
    body = {"payload": start | {"meterStart": 1000}}
    replayed = await web.post("/api/v1/quarantine/1/replay", headers=bearer(), json=body)
    assert replayed.status_code == 200, replayed.text
    await w.quiet()
    await settled(w)
    (entry, *_) = await entries(web)
    answer = await frames_of(web, entry)
    assert wired.said[0] in [frame["raw"] for frame in answer["items"]]
    assert answer["missing"] == []
