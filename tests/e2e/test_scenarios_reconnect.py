"""Lost connections, late and repeated messages (scenarios 15-17)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from simulators.behaviours import BEHAVIOURS, Behaviour
from tests.e2e.world import AC, V2G, VERSIONS, World, asked, car, frames, said, until

CARD = "CARD-0001"
STARTED = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def same(left: str, right: datetime) -> bool:
    return datetime.fromisoformat(left) == right


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_offline_session_becomes_one_record_with_its_own_times(world: World, version: str) -> None:
    """Scenario 15 (P0): replayed after the reconnect, transaction id assigned late (1.6)."""
    await world.idtoken(CARD)
    anyone = {"1.6": {"AllowOfflineTxForUnknownId": "true"}}.get(
        version, {"AuthCtrlr.OfflineTxForUnknownIdEnabled": "true"}
    )
    station = await world.station(AC[version], configuration=anyone)
    before_wh = station.evse().meter.import_wh
    station.go_offline(3)
    await station.until(lambda: not station.online)
    plugged_at = datetime.now(UTC)
    station.plug(car())
    station.present(CARD)
    await station.until(lambda: station.evse().meter.import_wh - before_wh > 0.8, 60)
    station.unplug()
    gone_at = datetime.now(UTC)
    assert not station.online
    assert await world.transactions(station.spec.id) == []
    record = await world.closed_transaction(station.spec.id)
    assert plugged_at - timedelta(seconds=1) <= datetime.fromisoformat(record["started_at"])
    assert datetime.fromisoformat(record["ended_at"]) <= gone_at + timedelta(seconds=1)
    charged_wh = station.evse().meter.import_wh - before_wh
    assert record["meter_stop_wh"] - record["meter_start_wh"] == pytest.approx(charged_wh, abs=1)

    async def is_free() -> bool:
        return (await world.evse(station.spec.id))["plug_in"] is None

    await until(is_free, "the EVSE to be free: what was replayed is over")


async def test_a_16_session_replayed_with_a_late_id_and_old_times_is_one_record(world: World) -> None:
    """Scenario 15 (P0): the Stop names the id that the Start was given only now."""
    await world.idtoken(CARD)
    station = await world.raw("1.6")
    start = {"connectorId": 1, "idTag": CARD, "meterStart": 1000, "timestamp": iso(STARTED)}
    number = (await station.tell("StartTransaction", start))["transactionId"]
    stop = {"transactionId": number, "meterStop": 8000, "timestamp": iso(STARTED + timedelta(hours=1))}
    await station.tell("StopTransaction", stop)
    (record,) = await world.transactions(station.id)
    assert same(record["started_at"], STARTED)
    assert same(record["ended_at"], STARTED + timedelta(hours=1))
    assert (record["meter_start_wh"], record["meter_stop_wh"]) == (1000, 8000)


async def test_16_messages_delivered_again_change_nothing(world: World) -> None:
    """Scenario 16 (P0), field lessons 9 and 12: new message ids, same content."""
    await world.idtoken(CARD)
    station = await world.raw("1.6")
    start = {"connectorId": 1, "idTag": CARD, "meterStart": 1000, "timestamp": iso(STARTED)}
    answers = [await station.tell("StartTransaction", start) for _ in range(3)]
    assert len({answer["transactionId"] for answer in answers}) == 1
    assert {answer["idTagInfo"]["status"] for answer in answers} == {"Accepted"}
    number = answers[0]["transactionId"]
    stop = {"transactionId": number, "meterStop": 8000, "timestamp": iso(STARTED + timedelta(hours=1))}
    for _ in range(3):
        await station.tell("StopTransaction", stop)
    (record,) = await world.transactions(station.id)
    assert (record["meter_stop_wh"], same(record["ended_at"], STARTED + timedelta(hours=1))) == (8000, True)
    await station.tell("StartTransaction", start)
    (again,) = await world.transactions(station.id)
    assert again == record, "a start that comes once more does not open it again"
    assert (await world.evse(station.id))["plug_in"] is None, "a session from a queue plugs nothing in now"


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
async def test_2x_events_delivered_again_change_nothing(world: World, version: str) -> None:
    """Scenario 16 (P0): the same seqNo twice."""
    station = await world.raw(version)
    events = [event(0, "Started", 1000), event(1, "Updated", 4000), event(2, "Ended", 8000)]
    for payload in events:
        await station.tell("TransactionEvent", payload)
    (record,) = await world.transactions(station.id)
    for payload in (*reversed(events), *events):
        await station.tell("TransactionEvent", payload)
    assert await world.transactions(station.id) == [record]
    assert (record["meter_start_wh"], record["meter_stop_wh"]) == (1000, 8000)
    assert same(record["started_at"], STARTED)


def event(seq_no: int, kind: str, register_wh: int) -> dict[str, Any]:
    context = {"Started": "Transaction.Begin", "Ended": "Transaction.End"}.get(kind, "Sample.Periodic")
    at = iso(STARTED + timedelta(minutes=30 * seq_no))
    sample = {"value": register_wh, "context": context, "measurand": "Energy.Active.Import.Register"}
    return {
        "eventType": kind,
        "timestamp": at,
        "triggerReason": {"Started": "CablePluggedIn", "Ended": "EVDeparted"}.get(kind, "MeterValuePeriodic"),
        "seqNo": seq_no,
        "transactionInfo": {"transactionId": "tx-1"},
        "evse": {"id": 1, "connectorId": 1},
        "meterValue": [{"timestamp": at, "sampledValue": [sample]}],
    }


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_station_that_says_everything_twice_leaves_one_record(world: World, version: str) -> None:
    """Scenario 16 (P0) by a simulated station."""
    await world.idtoken(CARD)
    station = await world.station(AC[version], behaviours=["resends_with_new_ids"])
    before_wh = station.evse().meter.import_wh
    station.plug(car())
    station.present(CARD)
    await station.until(lambda: station.evse().meter.import_wh - before_wh > 1, 60)
    station.unplug()
    record = await world.closed_transaction(station.spec.id)
    charged_wh = station.evse().meter.import_wh - before_wh
    assert record["meter_stop_wh"] - record["meter_start_wh"] == pytest.approx(charged_wh, abs=1)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_reconnect_without_a_boot_goes_on_and_gets_its_floor_again(world: World, version: str) -> None:
    """Scenario 17 (P0), V2G-62: no new BootNotification is assumed; profiles are re-checked."""
    station = await world.station(V2G[version], behaviours=[BEHAVIOURS["loses_profiles"]])
    driver = await world.driver(station.spec.id)
    station.plug(car())
    await driver.sees_permission("asked")
    await driver.answer(granted=True)
    await station.until(lambda: len(station.hardware.profiles) >= 2, 60)
    running = await world.open_transaction(station.spec.id)
    frames_before = len(station.frames)
    station.drop_socket()
    await station.until(lambda: not station.online)
    assert station.hardware.profiles == ()
    await station.until(lambda: station.online and len(station.hardware.profiles) >= 2, 60)
    assert {profile.stack_level for profile in station.hardware.profiles} > {0}
    assert station.boots == 1
    assert not [f for f in frames(station, sent=True)[frames_before:] if f[0] == 2 and f[2] == "BootNotification"]
    metered = len(said(station, "MeterValues")) + len(said(station, "TransactionEvent"))
    await station.until(
        lambda: len(said(station, "MeterValues")) + len(said(station, "TransactionEvent")) > metered + 2
    )
    assert await world.transactions(station.spec.id) == [running]
    assert (await driver.state())["plug_in"]["permission"]["state"] == "granted"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_station_that_keeps_losing_its_socket_loses_no_energy(world: World, version: str) -> None:
    """Scenario 17 (P0) again and again."""
    await world.idtoken(CARD)
    station = await world.station(AC[version], behaviours=[Behaviour(drop_every_s=0.7)])
    before_wh = station.evse().meter.import_wh
    station.plug(car())
    await station.until(lambda: station.online)
    station.present(CARD)

    async def runs() -> bool:
        if not station.evse().may_flow and station.online and not station.hardware.queue.items:
            station.present(CARD)
        return station.evse().meter.import_wh - before_wh > 4

    await until(runs, "energy in spite of it all")
    station.unplug()
    record = await world.closed_transaction(station.spec.id)
    charged_wh = station.evse().meter.import_wh - before_wh
    assert record["meter_stop_wh"] - record["meter_start_wh"] == pytest.approx(charged_wh, abs=1)
    assert asked(station, "SetChargingProfile"), "the floor came in between"
