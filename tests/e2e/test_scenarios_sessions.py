"""Sessions as they happen (scenarios 5-11)."""

import pytest

from simulators.station import Station
from tests.e2e.world import AC, V2G, VERSIONS, World, asked, car, said, until

CARD = "CARD-0001"


def energy_wh(record: dict) -> float:
    return record["meter_stop_wh"] - record["meter_start_wh"]


def charged_wh(station: Station, before_wh: float, evse: int = 1) -> float:
    return station.evse(evse).meter.import_wh - before_wh


async def charge_a_little(station: Station, before_wh: float, evse: int = 1) -> None:
    await station.until(lambda: charged_wh(station, before_wh, evse) > 1.5, 60)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("order", ["plug first", "card first"])
async def test_a_session_leaves_one_closed_record_with_the_right_energy(world: World, version: str, order: str) -> None:
    """Scenarios 5 and 6 (P0): TC_003, TC_004_1; TC_E_03, TC_E_04."""
    station = await world.station(AC[version])
    await world.idtoken(CARD)
    before_wh = station.evse().meter.import_wh
    if order == "plug first":
        station.plug(car())
        station.present(CARD)
    else:
        station.present(CARD)
        await station.until(lambda: bool(station.evse().grant or station.evse().session))
        station.plug(car())
    await charge_a_little(station, before_wh)
    station.present(CARD)  # the same card ends it
    station.unplug()
    record = await world.closed_transaction(station.spec.id)
    assert record["token"] == CARD
    assert energy_wh(record) == pytest.approx(charged_wh(station, before_wh), abs=1)


@pytest.mark.parametrize("version", VERSIONS)
async def test_unplugging_at_the_vehicle_ends_the_session(world: World, version: str) -> None:
    """Scenario 7 (P0): TC_005_1; TC_E_20."""
    station = await world.station(AC[version])
    await world.idtoken(CARD)
    before_wh = station.evse().meter.import_wh
    station.plug(car())
    station.present(CARD)
    await charge_a_little(station, before_wh)
    station.unplug()
    record = await world.closed_transaction(station.spec.id)
    assert record["stopped_reason"] in ("EVDisconnected", "EVDeparted")
    assert energy_wh(record) == pytest.approx(charged_wh(station, before_wh), abs=1)

    async def is_free() -> bool:
        evse = await world.evse(station.spec.id)
        return evse["plug_in"] is None and evse["power_w"] == 0

    await until(is_free, "the EVSE to be free")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_token_that_may_not_charge_is_told_why_and_starts_nothing(world: World, version: str) -> None:
    """Scenario 8 (P0): TC_023_1, TC_023_2, TC_023_3; TC_C_02, TC_C_06, TC_C_07."""
    await world.idtoken("BLOCKED", status="Blocked")
    await world.idtoken("OLD", expires_at="2020-01-01T00:00:00Z")
    station = await world.raw(version)
    assert await verdict(station, "BLOCKED") == "Blocked"
    assert await verdict(station, "old") == "Expired"  # compared without case
    assert await verdict(station, "NOBODY") == ("Invalid" if version == "1.6" else "Unknown")
    simulated = await world.station(AC[version])
    simulated.plug(car())
    simulated.present("BLOCKED")
    await simulated.until(lambda: bool(said(simulated, "Authorize")) and not simulated.hardware.queue.items)
    assert not simulated.evse().may_flow


async def verdict(station, token: str) -> str:
    if station.version == "1.6":
        return (await station.tell("Authorize", {"idTag": token}))["idTagInfo"]["status"]
    asked_for = {"idToken": {"idToken": token, "type": "ISO14443"}}
    return (await station.tell("Authorize", asked_for))["idTokenInfo"]["status"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_transaction_with_a_refused_token_is_recorded_but_gets_no_energy(world: World, version: str) -> None:
    """Scenario 8 (P0), field lesson 10: a start that cannot be undone is kept, with the token's status."""
    await world.idtoken("BLOCKED", status="Blocked")
    station = await world.raw(version)
    await station.status("Preparing" if version == "1.6" else "Occupied")
    if version == "1.6":
        start = {"connectorId": 1, "idTag": "BLOCKED", "meterStart": 10, "timestamp": "2026-01-01T00:00:00Z"}
        answer = await station.tell("StartTransaction", start)
        assert answer["idTagInfo"]["status"] == "Blocked"
        assert answer["transactionId"] > 0
    else:
        answer = await station.tell("TransactionEvent", {
            "eventType": "Started", "timestamp": "2026-01-01T00:00:00Z", "triggerReason": "Authorized", "seqNo": 0,
            "transactionInfo": {"transactionId": "t1"}, "evse": {"id": 1, "connectorId": 1},
            "idToken": {"idToken": "BLOCKED", "type": "ISO14443"},
        })  # fmt: skip
        assert answer["idTokenInfo"]["status"] == "Blocked"
    assert len(await world.transactions(station.id)) == 1
    assert not station.count("SetChargingProfile") > 1  # the floor alone: no setpoint for it


@pytest.mark.parametrize("version", VERSIONS)
async def test_remote_start_and_remote_stop_by_hand(world: World, version: str) -> None:
    """Scenario 9 (P0): TC_010, TC_012; TC_F_01, TC_F_03, TC_E_21."""
    station = await world.station(AC[version])
    await world.idtoken(CARD)
    before_wh = station.evse().meter.import_wh
    station.plug(car())
    if version == "1.6":
        start = ("RemoteStartTransaction", {"connectorId": 1, "idTag": CARD})
    else:
        token = {"idToken": CARD, "type": "Central"}
        start = ("RequestStartTransaction", {"evseId": 1, "remoteStartId": 7, "idToken": token})
    assert (await world.call(station.spec.id, *start))["status"] == "Accepted"
    await charge_a_little(station, before_wh)
    running = await world.open_transaction(station.spec.id)
    number = int(running["id"]) if version == "1.6" else running["id"]
    stop = "RemoteStopTransaction" if version == "1.6" else "RequestStopTransaction"
    assert (await world.call(station.spec.id, stop, {"transactionId": number}))["status"] == "Accepted"
    record = await world.closed_transaction(station.spec.id)
    assert record["stopped_reason"] == "Remote"
    assert energy_wh(record) == pytest.approx(charged_wh(station, before_wh), abs=1)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_driver_s_yes_starts_the_transaction(world: World, version: str) -> None:
    """Scenario 9 (P0) through permission: TC_011_1, TC_F_02; P4, V2G-26."""
    station = await world.station(V2G[version])
    driver = await world.driver(station.spec.id)
    before_wh = station.evse().meter.import_wh
    station.plug(car())
    await driver.sees_permission("asked")
    assert charged_wh(station, before_wh) == 0
    await driver.answer(granted=True)
    await charge_a_little(station, before_wh)
    record = await world.open_transaction(station.spec.id)
    starts = asked(station, "RemoteStartTransaction" if version == "1.6" else "RequestStartTransaction")
    token = starts[0]["idTag"] if version == "1.6" else starts[0]["idToken"]["idToken"]
    assert (len(starts), record["token"]) == (1, token)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_rejected_remote_start_or_stop_is_reported_and_not_repeated_blindly(world: World, version: str) -> None:
    """Scenario 10 (P0): TC_026, TC_028."""
    station = await world.raw(version)
    start, stop = ("RemoteStartTransaction", "RemoteStopTransaction")
    call, number = {"connectorId": 1, "idTag": CARD}, 4711
    if version != "1.6":
        start, stop = ("RequestStartTransaction", "RequestStopTransaction")
        call, number = {"evseId": 1, "remoteStartId": 7, "idToken": {"idToken": CARD, "type": "Central"}}, "4711"
    station.answers |= {start: lambda _: {"status": "Rejected"}, stop: lambda _: {"status": "Rejected"}}
    assert await world.call(station.id, start, call) == {"status": "Rejected"}
    assert await world.call(station.id, stop, {"transactionId": number}) == {"status": "Rejected"}
    assert (station.count(start), station.count(stop)) == (1, 1)

    driver = await world.driver(station.id)
    await station.status("Preparing" if version == "1.6" else "Occupied")
    await driver.sees_permission("asked")
    await driver.answer(granted=True)
    await station.until(lambda: station.count(start) >= 2)
    for _ in range(3):  # 30 s must pass before another try; at most one came at once, without a limit in it
        await world.daemon.system.reactions.sweep()
        await station.tell("Heartbeat", {})
    assert station.count(start) <= 3
    assert await world.transactions(station.id) == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_two_stations_with_two_connectors_never_mix(world: World, version: str) -> None:
    """Scenario 11 (P0): ids and sessions of four sessions at once."""
    one, other = await world.station(AC[version], evses=2), await world.station(AC[version], evses=2)
    places = [(one, 1), (one, 2), (other, 1), (other, 2)]
    before = [station.evse(evse).meter.import_wh for station, evse in places]
    for number, (station, evse) in enumerate(places):
        await world.idtoken(f"CARD-{number}")
        station.plug(car(), evse)
        station.present(f"CARD-{number}", evse)
    for (station, evse), before_wh in zip(places, before, strict=True):
        await charge_a_little(station, before_wh, evse)
    for number, (station, evse) in enumerate(places):
        station.present(f"CARD-{number}", evse)
        station.unplug(evse)

    async def all_closed() -> list:
        found = [r for s in (one, other) for r in await world.transactions(s.spec.id, active="false")]
        return found if len(found) == 4 else []

    records = {record["token"]: record for record in await until(all_closed, "four closed records")}
    for number, ((station, evse), before_wh) in enumerate(zip(places, before, strict=True)):
        record = records[f"CARD-{number}"]
        assert record["station"] == station.spec.id
        assert record["evse"] == {"station": station.spec.id, "evse": evse}
        assert energy_wh(record) == pytest.approx(charged_wh(station, before_wh, evse), abs=1)
    assert len({(record["station"], record["id"]) for record in records.values()}) == 4
