"""Misbehaviours do what their names say, and compose."""

import asyncio

import pytest

from simulators.behaviours import BEHAVIOURS, FAULTLESS, Behaviour, Negative, combined
from tests.simulators.fake_csms import Scene, car, scene

NAMED_IN_THE_ISSUE = {
    "accepts_and_ignores",
    "clamps_negatives",
    "callerror_on_negatives",
    "drops_socket",
    "resends_with_new_ids",
    "offline_replay",
    "clock_off",
}


def measured(payload: dict, name: str) -> float:
    values = payload["meterValue"][0]["sampledValue"]
    return next(float(value["value"]) for value in values if value["measurand"] == name)


async def charging(stage: Scene, seconds: float = 10) -> None:
    await stage.start_charging(car())
    await stage.clock.advance(seconds)


def test_the_issue_s_misbehaviours_are_there():
    assert NAMED_IN_THE_ISSUE | {"negative_is_unlimited", "ends_at_zero"} <= BEHAVIOURS.keys()


def test_behaviours_compose_and_the_last_word_counts():
    both = combined("clock_off", "clamps_negatives", Behaviour(clock_off_s=60.0))
    assert (both.clock_off_s, both.negative) == (60.0, Negative.CLAMP)
    assert combined() == FAULTLESS


def test_an_unknown_behaviour_is_an_error():
    with pytest.raises(KeyError):
        combined("sings")


@pytest.mark.parametrize(
    ("behaviour", "answer", "power_w"),
    [
        ("accepts_and_ignores", {"status": "Accepted"}, 7360),
        ("clamps_negatives", {"status": "Accepted"}, 0),
        ("callerror_on_negatives", {"error": "PropertyConstraintViolation"}, 7360),
        ("negative_is_unlimited", {"status": "Accepted"}, 7360),
        ("wrong_sign", {"status": "Accepted"}, 5000),
        ("partial_obedience", {"status": "Accepted"}, -2500),
    ],
)
@pytest.mark.parametrize("model", ["Sim V2G 1.6", "Sim V2G 2.0.1"])
async def test_what_becomes_of_a_negative_limit(model: str, behaviour: str, answer: dict[str, str], power_w: float):
    """V2G-71, reference V2G §1.2: the ways in which stations take -5 kW."""
    async with scene(model, behaviours=[behaviour]) as stage:
        await charging(stage)
        if behaviour in ("wrong_sign", "partial_obedience"):
            assert abs(stage.power_w) != 5000
        assert await stage.profile(-5000.0) == answer
        await stage.clock.advance(20)
        assert stage.power_w == power_w


async def test_clamping_holds_for_setpoints_too():
    async with scene("Sim V2G 2.1", behaviours=["clamps_negatives"]) as stage:
        await charging(stage)
        await stage.profile(operationMode="CentralSetpoint", setpoint=-5000.0)
        await stage.clock.advance(10)
        assert stage.power_w == 0


async def test_a_dropped_socket_comes_back_without_a_new_boot():
    async with scene("Sim AC 1.6", behaviours=[Behaviour(drop_every_s=20)]) as stage:
        await stage.clock.advance(21)
        await stage.station.until(lambda: len(stage.csms.headers) == 2 and stage.station.online)
        assert len(stage.csms.all("BootNotification")) == 1


async def test_a_half_open_socket_stays_behind():
    """Scenario 11 (V2G-50): the station comes back on a new socket while the old one looks alive."""
    async with scene("Sim AC 1.6", behaviours=["half_open"]) as stage:
        await stage.clock.advance(20)
        await stage.station.until(lambda: len(stage.csms.headers) == 2 and stage.station.online)
        assert stage.csms.open_sockets == 2


async def test_a_socket_dropped_after_so_many_frames():
    async with scene("Sim AC 1.6", behaviours=[Behaviour(drop_after_frames=3)]) as stage:
        await stage.clock.advance(2)
        await stage.station.until(lambda: len(stage.csms.headers) >= 2)


@pytest.mark.parametrize(("model", "action"), [("Sim AC 1.6", "StartTransaction"), ("Sim AC 2.1", "TransactionEvent")])
async def test_resent_messages_have_new_ids_and_the_same_content(model: str, action: str):
    """Scenario 16, libocpp PR 298."""
    async with scene(model, behaviours=["resends_with_new_ids"]) as stage:
        await stage.start_charging(car())
        first = await stage.csms.expect(action)
        second = await stage.csms.expect(action)
        assert first == second
        ids = [message_id for message_id, name, _ in stage.csms.received if name == action]
        assert len(set(ids)) == len(ids) >= 2


async def test_an_offline_station_replays_what_it_measured():
    """Scenario 15."""
    async with scene("Sim V2G 2.1", behaviours=["offline_replay"], sample_interval_s=2.0) as stage:
        await stage.start_charging(car())
        await stage.clock.advance(16)
        await stage.station.until(lambda: not stage.station.online)
        await stage.clock.advance(10)
        await stage.station.until(lambda: stage.station.online)
        replayed = await stage.csms.expect("TransactionEvent", lambda p: p["offline"])
        assert "2026-11-20T17:00:15" <= replayed["timestamp"] < "2026-11-20T17:00:27"
        await stage.clock.advance(30)
        assert len(stage.csms.headers) == 2


async def test_a_wrong_clock_shows_in_every_time():
    """Scenario 52."""
    async with scene("Sim AC 1.6", behaviours=["clock_off"]) as stage:
        await charging(stage)
        assert (await stage.csms.expect("StartTransaction"))["timestamp"].startswith("2026-11-20T18:00:00")


async def test_a_clock_may_start_in_1970():
    """Scenario 52, evcc #15752."""
    async with scene("Sim AC 2.1", behaviours=["clock_1970"]) as stage:
        await charging(stage)
        assert (await stage.csms.expect("TransactionEvent"))["timestamp"].startswith("1970-01-01T00:00:00")


async def test_a_transactions_number_may_get_lost():
    """S16E 3.18, libocpp #495."""
    async with scene("Sim AC 1.6", behaviours=["forgets_number"]) as stage:
        await charging(stage)
        stage.station.unplug()
        assert (await stage.csms.expect("StopTransaction"))["transactionId"] == -1


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.1"])
async def test_zero_may_end_the_transaction(model: str):
    """Field lesson 24."""
    async with scene(model, behaviours=["ends_at_zero"]) as stage:
        await charging(stage)
        await stage.profile(0.0)
        await stage.clock.advance(3)
        assert stage.station.evse().session is None


async def test_obedience_may_come_late():
    async with scene("Sim V2G 1.6", behaviours=["late_obedience"]) as stage:
        await charging(stage, 30)
        await stage.profile(-5000.0)
        await stage.clock.advance(15)
        assert stage.power_w == 7360
        await stage.clock.advance(20)
        assert stage.power_w == -5000


async def test_a_frozen_meter_shows_the_same_for_ever():
    async with scene("Sim AC 1.6", behaviours=["frozen_meter"]) as stage:
        await charging(stage, 60)
        stage.station.unplug()
        await stage.csms.expect("StopTransaction")
        registers = [measured(p, "Energy.Active.Import.Register") for p in stage.csms.all("MeterValues")]
        assert registers[0] < registers[1]
        assert len(set(registers[1:])) == 1


async def test_a_reset_meter_starts_from_nothing():
    async with scene("Sim AC 1.6", behaviours=["meter_reset"]) as stage:
        await charging(stage, 60)
        stage.station.unplug()
        await stage.csms.expect("StopTransaction")
        registers = [measured(p, "Energy.Active.Import.Register") for p in stage.csms.all("MeterValues")]
        assert registers[0] > 100_000
        assert registers[-1] < 100


async def test_discharge_may_be_a_negative_import():
    async with scene("Sim V2G 1.6", behaviours=["signed_power", "no_soc"]) as stage:
        await charging(stage)
        await stage.profile(-5000.0)
        sample_after = len(stage.csms.all("MeterValues"))
        await stage.clock.advance(20)
        stage.station.unplug()
        await stage.csms.expect("StopTransaction")
        last = stage.csms.all("MeterValues")[-1]
        assert len(stage.csms.all("MeterValues")) > sample_after
        assert measured(last, "Power.Active.Import") == -5000
        assert "SoC" not in str(last)


async def test_registers_may_be_a_thousand_times_too_small():
    async with scene("Sim AC 1.6", behaviours=["kwh_as_wh"]) as stage:
        await charging(stage)
        shown = (await stage.csms.expect("StartTransaction"))["meterStart"]
        assert shown == pytest.approx(stage.station.evse().meter.import_wh / 1000, abs=2)


async def test_profiles_may_get_lost_with_the_socket():
    async with scene("Sim AC 1.6", behaviours=["loses_profiles"]) as stage:
        await charging(stage)
        await stage.profile(3000.0)
        stage.station.drop_socket()
        await stage.station.until(lambda: not stage.station.online)
        await stage.clock.advance(10)
        assert stage.power_w == 7360


async def test_answers_may_be_slow():
    async with scene("Sim AC 1.6", behaviours=["slow_answers"]) as stage:
        asked = asyncio.create_task(stage.csms.call("GetConfiguration", {"key": ["HeartbeatInterval"]}))
        await stage.station.until(lambda: any("GetConfiguration" in frame.text for frame in stage.station.frames))
        assert not asked.done()
        await stage.clock.advance(4)
        assert (await asked)["configurationKey"][0]["value"] == "300"
