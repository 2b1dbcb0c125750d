"""Charging profiles, and stations that do not take them (scenarios 18-21)."""

from collections.abc import Iterable
from typing import Any

import pytest

from simulators.behaviours import Behaviour
from simulators.profiles import Purpose
from simulators.station import Station
from tests.e2e.conftest import ON_SQLITE, MakeWorld
from tests.e2e.driver import Driver
from tests.e2e.raw import RawStation, now
from tests.e2e.world import AC, V2G, VERSIONS, World, asked, car, until

CARD = "CARD-0001"
pytestmark = ON_SQLITE


def profile_of(call: dict[str, Any]) -> dict[str, Any]:
    """The profile in a SetChargingProfile of any version."""
    return call.get("csChargingProfiles") or call["chargingProfile"]


def place_of(call: dict[str, Any]) -> int:
    return call["connectorId"] if "connectorId" in call else call["evseId"]


def by_hand(version: str, evse: int, purpose: str, limit_w: float, transaction: str | None = None) -> dict[str, Any]:
    """A SetChargingProfile payload with one limit."""
    period = {"startPeriod": 0, "limit": limit_w}
    schedule = {"chargingRateUnit": "W", "chargingSchedulePeriod": [period]}
    profile: dict[str, Any] = {"stackLevel": 3, "chargingProfilePurpose": purpose, "chargingProfileKind": "Relative"}
    if version == "1.6":
        profile |= {"chargingProfileId": 77, "chargingSchedule": schedule}
        profile |= {"transactionId": int(transaction)} if transaction else {}
        return {"connectorId": evse, "csChargingProfiles": profile}
    profile |= {"id": 77, "chargingSchedule": [{"id": 1} | schedule]}
    profile |= {"transactionId": transaction} if transaction else {}
    return {"evseId": evse, "chargingProfile": profile}


async def charging(world: World, version: str) -> Station:
    """A station with a transaction that runs by card at full power."""
    await world.idtoken(CARD)
    station = await world.station(AC[version])
    station.plug(car())
    station.present(CARD)
    await flows(station, 7360)
    return station


async def flows(station: Station, power_w: float) -> None:
    await station.until(lambda: abs(station.evse().meter.power_w - power_w) < 100, 60)


@pytest.mark.parametrize("version", VERSIONS)
async def test_after_the_boot_the_whole_station_has_its_safe_floor(world: World, version: str) -> None:
    """Scenario 18 (P0): TxDefaultProfile on the whole station (TC_056, TC_K_10); V2G-6."""
    station = await world.station(V2G[version], evses=2)
    floor = asked(station, "SetChargingProfile")[0]
    profile = profile_of(floor)
    assert (place_of(floor), profile["chargingProfilePurpose"], profile["stackLevel"]) == (0, "TxDefaultProfile", 0)
    assert "validTo" not in profile
    installed = [item for item in station.hardware.profiles if item.purpose is Purpose.TX_DEFAULT]
    assert len(installed) == 1
    on_one = await world.call(station.spec.id, "SetChargingProfile", by_hand(version, 1, "TxDefaultProfile", 4000))
    assert on_one["status"] == "Accepted"  # TC_K_01: on one EVSE
    await world.idtoken(CARD)
    station.plug(car())
    station.present(CARD)
    await station.until(lambda: station.evse().meter.power_w > 1000, 60)
    assert station.evse(2).meter.power_w == 0


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_tx_profile_holds_in_its_transaction_and_is_refused_without_one(world: World, version: str) -> None:
    """Scenario 19 (P0): TC_057; TC_K_60, TC_K_02."""
    station = await charging(world, version)
    running = await world.open_transaction(station.spec.id)
    own = [profile_of(call) for call in asked(station, "SetChargingProfile") if place_of(call) == 1]
    assert {profile["chargingProfilePurpose"] for profile in own} == {"TxProfile"}
    assert {str(profile["transactionId"]) for profile in own} == {running["id"]}
    call = by_hand(version, 1, "TxProfile", 3000, running["id"])
    assert (await world.call(station.spec.id, "SetChargingProfile", call))["status"] == "Accepted"
    await flows(station, 3000)
    station.unplug()
    await world.closed_transaction(station.spec.id)
    assert (await world.call(station.spec.id, "SetChargingProfile", call))["status"] == "Rejected"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_station_maximum_by_hand_is_a_fuse_that_no_setpoint_lifts(make_world: MakeWorld, version: str) -> None:
    """Scenario 20 (P0): TC_K_03."""
    async with make_world(dispatch={"setpoint_validity_s": 5}) as world:
        await check_maximum(world, version)


async def check_maximum(world: World, version: str) -> None:
    station = await charging(world, version)
    purpose = "ChargePointMaxProfile" if version == "1.6" else "ChargingStationMaxProfile"
    answer = await world.call(station.spec.id, "SetChargingProfile", by_hand(version, 0, purpose, 2000))
    assert answer["status"] == "Accepted"
    await flows(station, 2000)
    told = len(asked(station, "SetChargingProfile"))
    await station.until(lambda: len(asked(station, "SetChargingProfile")) > told, 60)  # the setpoint is renewed
    await flows(station, 2000)


async def serving(world: World, version: str, behaviours: Iterable[str | Behaviour]) -> tuple[Station, Driver]:
    """A vehicle with a yes, at a station of doubtful obedience, in a DR event that wants its discharge."""
    station = await world.station(V2G[version], behaviours=behaviours)
    driver = await world.driver(station.spec.id)
    station.plug(car())
    await driver.sees_permission("asked")
    await driver.answer(granted=True, required_soc_percent=30, min_sell_per_kwh="5000")
    await station.until(lambda: station.evse().meter.power_w > 7000, 60)
    await world.event(7360 + 4000, seconds=60)
    return station, driver


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_a_callerror_on_negatives_means_charging_control_only(world: World, version: str) -> None:
    """Scenario 21 (P0): MicroOcpp answers CALLERROR to a negative limit; V2G-10: one rung down at once."""
    station, _ = await serving(world, version, ["callerror_on_negatives"])
    exported_wh = station.evse().meter.export_wh

    async def is_down() -> bool:
        evse = await world.evse(station.spec.id)
        return (evse["level"], evse["probe"]) == ("no_discharge", "failed")

    await until(is_down, "one rung down, and the probe's verdict")
    await flows(station, 0)  # it still obeys a limit
    assert station.evse().meter.export_wh == exported_wh
    negative = [c for c in asked(station, "SetChargingProfile") if limits(c)[0] < 0]
    assert len(negative) == 1, "what was refused is not repeated blindly"


def limits(call: dict[str, Any]) -> list[float]:
    """The limits of a SetChargingProfile; a setpoint where there is one."""
    given = profile_of(call)["chargingSchedule"]
    periods = (given[0] if isinstance(given, list) else given)["chargingSchedulePeriod"]
    return [period.get("setpoint", period.get("limit")) for period in periods]


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_a_station_that_reads_negative_as_unlimited_is_never_tried_again(world: World, version: str) -> None:
    """Scenario 21 (P0), V2G-8: seen in the probe, at once."""
    station = await world.station(V2G[version], behaviours=["negative_is_unlimited"])
    driver = await world.driver(station.spec.id)
    station.plug(car())
    await driver.sees_permission("asked")
    await driver.answer(granted=True, required_soc_percent=30, max_buy_per_kwh="1", min_sell_per_kwh="5000")
    await driver.sees(lambda page: page["plug_in"]["power_w"] == 0, "that it does not charge: so the rise shows")
    await world.event(4000, seconds=60)

    async def verdict() -> bool:
        return (await world.evse(station.spec.id))["probe"] == "unsafe"

    await until(verdict, "the probe's verdict")
    await flows(station, 0)
    tried = sum(limits(call)[0] < 0 for call in asked(station, "SetChargingProfile"))
    await world.daemon.system.rooms.dispatch.tick()
    await flows(station, 0)
    assert sum(limits(call)[0] < 0 for call in asked(station, "SetChargingProfile")) == tried == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_station_that_accepts_and_ignores_is_planned_with_what_it_takes(
    make_world: MakeWorld, version: str
) -> None:
    """Scenario 21 (P0), V2G-9, V2G-10: re-sent, read back, then counted as it is."""
    async with make_world(dispatch={"setpoint_validity_s": 5}) as world:
        await check_ignoring(world, version)


async def check_ignoring(world: World, version: str) -> None:
    station = await world.station(AC[version], behaviours=["accepts_and_ignores"])
    driver = await world.driver(station.spec.id)
    station.plug(car())
    await driver.sees_permission("asked")
    await driver.answer(granted=True, max_buy_per_kwh="1", required_soc_percent=10)  # should not charge, but does

    async def is_fixed() -> bool:
        return (await world.evse(station.spec.id))["level"] == "uncontrolled"

    await until(is_fixed, "the last rung")
    assert asked(station, "GetCompositeSchedule")
    await driver.sees(lambda page: "not_following" in page["plug_in"]["reasons"], "why")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_station_that_rejects_profiles_or_does_not_answer_stays_usable(world: World, version: str) -> None:
    """Scenario 21 (P0): TC_K_15; a rejected floor and setpoints without an answer stop neither session nor station.
    It is planned with what it is seen to take (F9)."""
    await world.idtoken(CARD)
    raw = await world.raw(version, boot=False)
    raw.answers["SetChargingProfile"] = lambda _: {"status": "Rejected"}
    await raw.boot()
    await raw.heard_call("TriggerMessage")
    await raw.status("Preparing" if version == "1.6" else "Occupied")
    await begin(raw)
    await raw.heard_call("SetChargingProfile", lambda call: place_of(call) == 1)

    async def is_down() -> bool:
        await raw.metered(7000)
        return (await world.evse(raw.id))["level"] == "uncontrolled"

    await until(is_down, "the last rung")
    raw.answers["SetChargingProfile"] = lambda _: None
    told = raw.count("SetChargingProfile")
    await raw.until(lambda: raw.count("SetChargingProfile") > told, "another try")
    assert "currentTime" in await raw.tell("Heartbeat", {})
    assert len(await world.transactions(raw.id, active="true")) == 1


async def begin(raw: RawStation) -> None:
    """A start that is told at once: one from before the cable went in would be history."""
    at = now()
    if raw.version == "1.6":
        start = {"connectorId": 1, "idTag": CARD, "meterStart": 1, "timestamp": at}
        await raw.tell("StartTransaction", start)
        return
    await raw.tell("TransactionEvent", {
        "eventType": "Started", "timestamp": at, "triggerReason": "Authorized", "seqNo": 0,
        "transactionInfo": {"transactionId": "t1", "chargingState": "Charging"}, "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": CARD, "type": "ISO14443"},
    })  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_vehicle_that_still_ramps_up_is_not_taken_for_an_unlimited_one(world: World, version: str) -> None:
    """V2G-8: a probe right after the start sees import rise, to what it was allowed."""
    station = await world.station(V2G[version], ramp_w_per_s=1500.0)
    driver = await world.driver(station.spec.id)
    station.plug(car())
    await driver.sees_permission("asked")
    await driver.answer(granted=True, required_soc_percent=30)

    async def verdict() -> str:
        probe = (await world.evse(station.spec.id))["probe"]
        return probe if probe in ("passed", "failed", "unsafe") else ""

    assert await until(verdict, "the probe's verdict") == "passed"
