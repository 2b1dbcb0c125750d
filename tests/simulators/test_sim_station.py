"""Simulated stations on a real socket: boot, charge, discharge, obey, go offline and come back, in each version.

The fake CSMS holds every frame that a station sends against the OCPP schemas.
"""

from datetime import timedelta

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from simulators.evse import EvseSpec
from simulators.models import MODELS, V16, V201, StationSpec
from simulators.station import Station
from tests.simulators.fake_csms import START, Scene, car, scene

V2X_MODELS = ["Sim V2G 1.6", "Sim V2G 2.0.1", "Sim V2G 2.1"]
MODELS_2 = [name for name, model in MODELS.items() if model.version != V16]
CHARGE_FIRST = {
    "Sim V2G 1.6": "StartTransaction",
    "Sim V2G 2.0.1": "TransactionEvent",
    "Sim V2G 2.1": "TransactionEvent",
}


async def discharge(stage: Scene, power_w: float) -> dict[str, object]:
    """Ask for a negative power in the station's own way."""
    if stage.station.spec.model.setpoints:
        return await stage.profile(operationMode="CentralSetpoint", setpoint=power_w)
    return await stage.profile(power_w)


@pytest.mark.parametrize("model", MODELS)
async def test_a_station_boots_and_shows_itself(model: str):
    """Scenarios 1 and 2 (TC_001, TC_B_01)."""
    async with scene(model) as stage:
        boot = await stage.csms.expect("BootNotification")
        plate = boot.get("chargingStation", boot)
        assert model in plate.values()
        assert "Tidewatt" in plate.values()
        assert plate["firmwareVersion"] == "1.0"
        status = await stage.csms.expect("StatusNotification", lambda p: p.get("connectorId") == 1)
        assert "Available" in status.values()
        request = stage.csms.headers[0]
        assert request.path == "/ocpp/S1"
        assert request.headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("model", MODELS)
async def test_no_energy_flows_before_somebody_is_authorized(model: str):
    """P4: plugged in is not permitted."""
    async with scene(model) as stage:
        stage.station.plug(car())
        await stage.clock.advance(60)
        assert stage.power_w == 0
        if MODELS[model].version == V16:
            await stage.csms.expect("StatusNotification", lambda p: p["status"] == "Preparing")
            assert stage.csms.all("StartTransaction") == []
        else:
            event = await stage.csms.expect("TransactionEvent")
            assert (event["eventType"], event["triggerReason"]) == ("Started", "CablePluggedIn")
            assert event["transactionInfo"]["chargingState"] == "EVConnected"


async def test_a_session_in_16_from_card_to_unplug():
    """Scenario 5 (TC_003)."""
    async with scene("Sim AC 1.6") as stage:
        before = stage.station.evse().meter.import_wh
        assert await stage.start_charging(car()) == "7"
        started = await stage.csms.expect("StartTransaction")
        assert started["meterStart"] == int(before)
        await stage.clock.advance(60)
        assert stage.power_w == 7360
        sample = await stage.csms.expect("MeterValues")
        assert sample["transactionId"] == 7
        measured = {value["measurand"]: value["value"] for value in sample["meterValue"][0]["sampledValue"]}
        assert {"Energy.Active.Import.Register", "Energy.Active.Export.Register", "SoC"} <= measured.keys()
        left = stage.station.unplug()
        stopped = await stage.csms.expect("StopTransaction")
        assert stopped["reason"] == "EVDisconnected"
        assert stopped["meterStop"] - started["meterStart"] == pytest.approx(7360 / 60, abs=10)
        assert left.soc > 0.5
        await stage.csms.expect("StatusNotification", lambda p: p["status"] == "Available")


@pytest.mark.parametrize("model", MODELS_2)
async def test_a_session_in_2x_from_cable_to_unplug(model: str):
    """Scenario 6 (TC_E_03): one transaction, seqNo without gaps."""
    async with scene(model) as stage:
        transaction = await stage.start_charging(car())
        await stage.clock.advance(30)
        stage.station.unplug()
        ended = await stage.csms.expect("TransactionEvent", lambda p: p["eventType"] == "Ended")
        assert ended["transactionInfo"]["stoppedReason"] == "EVDisconnected"
        events = stage.csms.all("TransactionEvent")
        assert [event["seqNo"] for event in events] == list(range(len(events)))
        assert {event["transactionInfo"]["transactionId"] for event in events} == {transaction}
        assert [e["triggerReason"] for e in events].count("MeterValuePeriodic") == 3
        assert any(e["transactionInfo"]["chargingState"] == "Charging" for e in events)


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.1"])
async def test_a_card_first_and_then_the_cable(model: str):
    """Scenarios 5 and 6, card first (TC_004_1, TC_E_04)."""
    async with scene(model) as stage:
        stage.station.present("CARD0001")
        await stage.station.until(lambda: stage.station.evse().grant is not None)
        stage.station.plug(car())
        await stage.station.until(lambda: stage.station.evse().may_flow)
        await stage.clock.advance(10)
        assert stage.power_w == 7360


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.1"])
async def test_an_unknown_card_starts_nothing(model: str):
    """Scenario 8 (TC_023_1, TC_C_02)."""
    async with scene(model) as stage:
        info = "idTagInfo" if MODELS[model].version == V16 else "idTokenInfo"
        stage.csms.answers["Authorize"] = {info: {"status": "Invalid"}}
        stage.station.plug(car())
        stage.station.present("NOBODY")
        await stage.csms.expect("Authorize")
        await stage.clock.advance(30)
        assert stage.power_w == 0


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.1"])
async def test_a_refusal_in_the_transaction_stops_it(model: str):
    """Scenario 8: StartTransaction.conf and TransactionEventResponse can still say no."""
    async with scene(model) as stage:
        if MODELS[model].version == V16:
            stage.csms.answers["StartTransaction"] = {"transactionId": 9, "idTagInfo": {"status": "Invalid"}}
        else:
            stage.csms.answers["TransactionEvent"] = {"idTokenInfo": {"status": "Invalid"}}
        stage.station.plug(car())
        stage.station.present("CARD0001")
        if MODELS[model].version == V16:
            stopped = await stage.csms.expect("StopTransaction")
            assert (stopped["reason"], stopped["transactionId"]) == ("DeAuthorized", 9)
        else:
            ended = await stage.csms.expect("TransactionEvent", lambda p: p["eventType"] == "Ended")
            assert ended["transactionInfo"]["stoppedReason"] == "DeAuthorized"
        await stage.clock.advance(10)
        assert stage.power_w == 0


async def test_remote_start_and_stop_in_16():
    """Scenario 9 (TC_010, TC_012)."""
    async with scene("Sim AC 1.6") as stage:
        stage.station.plug(car())
        start = {"connectorId": 1, "idTag": "A1B2C3D4E5F607"}
        assert await stage.csms.call("RemoteStartTransaction", start) == {"status": "Accepted"}
        started = await stage.csms.expect("StartTransaction")
        assert started["idTag"] == "A1B2C3D4E5F607"
        assert stage.csms.all("Authorize") == []
        await stage.station.until(lambda: stage.station.evse().may_flow)
        assert await stage.csms.call("RemoteStartTransaction", start) == {"status": "Rejected"}
        assert await stage.csms.call("RemoteStopTransaction", {"transactionId": 8}) == {"status": "Rejected"}
        assert await stage.csms.call("RemoteStopTransaction", {"transactionId": 7}) == {"status": "Accepted"}
        assert (await stage.csms.expect("StopTransaction"))["reason"] == "Remote"
        await stage.csms.expect("StatusNotification", lambda p: p["status"] == "Finishing")


@pytest.mark.parametrize("model", ["Sim AC 2.0.1", "Sim V2G 2.1"])
async def test_remote_start_grants_the_transaction_that_waits(model: str):
    """F01.FR.13: the answer names the transaction that began at the cable. Scenario 9 (TC_F_01, TC_F_03)."""
    async with scene(model) as stage:
        stage.station.plug(car())
        started = await stage.csms.expect("TransactionEvent")
        transaction = started["transactionInfo"]["transactionId"]
        token = {"idToken": "A1B2C3D4E5F607", "type": "Central"}
        start = {"evseId": 1, "idToken": token, "remoteStartId": 5}
        assert await stage.csms.call("RequestStartTransaction", start) == {
            "status": "Accepted",
            "transactionId": transaction,
        }
        granted = await stage.csms.expect("TransactionEvent", lambda p: p["triggerReason"] == "RemoteStart")
        assert granted["transactionInfo"]["remoteStartId"] == 5
        assert granted["idToken"] == token
        await stage.clock.advance(10)
        assert stage.power_w == 7360
        assert (await stage.csms.call("RequestStartTransaction", start))["status"] == "Rejected"
        assert await stage.csms.call("RequestStopTransaction", {"transactionId": transaction}) == {"status": "Accepted"}
        ended = await stage.csms.expect("TransactionEvent", lambda p: p["eventType"] == "Ended")
        assert (ended["triggerReason"], ended["transactionInfo"]["stoppedReason"]) == ("RemoteStop", "Remote")


@pytest.mark.parametrize(
    ("model", "key"), [("Sim AC 1.6", "AuthorizeRemoteTxRequests"), ("Sim AC 2.1", "AuthCtrlr.AuthorizeRemoteStart")]
)
async def test_a_station_may_ask_first_after_a_remote_start(model: str, key: str):
    async with scene(model, configuration={key: "true"}) as stage:
        stage.station.plug(car())
        if MODELS[model].version == V16:
            await stage.csms.call("RemoteStartTransaction", {"connectorId": 1, "idTag": "TAG"})
        else:
            token = {"idToken": "TAG", "type": "Central"}
            await stage.csms.call("RequestStartTransaction", {"evseId": 1, "idToken": token, "remoteStartId": 1})
        await stage.csms.expect("Authorize")
        await stage.station.until(lambda: stage.station.evse().may_flow)


@pytest.mark.parametrize("model", V2X_MODELS)
async def test_a_station_discharges_when_told_to_in_its_own_way(model: str):
    """P12 in each driver's form: a negative limit (1.6, 2.0.1), CentralSetpoint (2.1)."""
    async with scene(model) as stage:
        await stage.start_charging(car())
        assert (await discharge(stage, -5000))["status"] == "Accepted"
        exported, soc = stage.station.evse().meter.export_wh, stage.station.evse().ev.soc
        await stage.clock.advance(360)
        assert stage.power_w == -5000
        assert stage.station.evse().meter.export_wh - exported == pytest.approx(500, abs=5)
        assert stage.station.evse().ev.soc < soc
        last = await stage.csms.expect(
            "MeterValues" if MODELS[model].version == V16 else "TransactionEvent",
            lambda p: any(
                v["measurand"] == "Power.Active.Export" and float(v["value"]) == 5000
                for v in p.get("meterValue", [{"sampledValue": []}])[0]["sampledValue"]
            ),
        )
        assert last


@pytest.mark.parametrize("model", MODELS)
async def test_a_station_keeps_to_its_limit_and_says_who_holds_back(model: str):
    """Scenario 19 (TC_057, TC_K_60)."""
    async with scene(model) as stage:
        await stage.start_charging(car())
        assert (await stage.profile(3000.0))["status"] == "Accepted"
        await stage.clock.advance(10)
        assert stage.power_w == 3000
        assert (await stage.profile(0.0))["status"] == "Accepted"
        await stage.clock.advance(10)
        assert stage.power_w == 0
        if MODELS[model].version == V16:
            await stage.csms.expect("StatusNotification", lambda p: p["status"] == "SuspendedEVSE")
        else:
            await stage.csms.expect(
                "TransactionEvent", lambda p: p["transactionInfo"]["chargingState"] == "SuspendedEVSE"
            )


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.0.1", "Sim AC 2.1", "Sim V2G 2.1"])
async def test_a_negative_limit_is_refused_where_none_was_agreed(model: str):
    async with scene(model) as stage:
        await stage.start_charging(car())
        assert (await stage.profile(-5000.0))["status"] == "Rejected"
        await stage.clock.advance(10)
        assert stage.power_w == 7360


@pytest.mark.parametrize(
    ("model", "period", "reason"),
    [
        ("Sim AC 2.1", {"operationMode": "CentralSetpoint", "setpoint": -5000.0}, "InvalidOperationMode"),
        ("Sim V2G 2.1", {"limit": 1.0, "p_chargingProfileKind": "Dynamic"}, "UnsupportedKind"),
        ("Sim AC 2.0.1", {"limit": 1.0, "p_transactionId": "other"}, "TxNotFound"),
    ],
)
async def test_a_refusal_names_its_reason_in_2x(model: str, period: dict[str, object], reason: str):
    async with scene(model) as stage:
        await stage.start_charging(car())
        answer = await stage.profile(**period)
        assert (answer["status"], answer["statusInfo"]["reasonCode"]) == ("Rejected", reason)


async def test_a_txprofile_without_a_transaction_is_refused():
    """Scenario 19 (TC_K_02)."""
    for model in ("Sim AC 1.6", "Sim AC 2.1"):
        async with scene(model) as stage:
            assert (await stage.profile(3000.0))["status"] == "Rejected"


async def test_a_dynamic_profile_follows_updates_until_its_dead_man_timer():
    """2.1 K28: UpdateDynamicSchedule moves it, silence ends it."""
    async with scene("Sim V2G 2.1 Dynamic") as stage:
        await stage.start_charging(car())
        dynamic = {"p_chargingProfileKind": "Dynamic", "p_duration": 180, "operationMode": "CentralSetpoint"}
        assert (await stage.profile(setpoint=-5000.0, **dynamic))["status"] == "Accepted"
        await stage.clock.advance(170)
        assert stage.power_w == -5000
        update = {"chargingProfileId": 101, "scheduleUpdate": {"setpoint": -2000.0}}
        assert await stage.csms.call("UpdateDynamicSchedule", update) == {"status": "Accepted"}
        await stage.clock.advance(170)
        assert stage.power_w == -2000
        await stage.clock.advance(20)
        assert stage.power_w == 7360
        unknown = {"chargingProfileId": 5, "scheduleUpdate": {"setpoint": 0.0}}
        assert (await stage.csms.call("UpdateDynamicSchedule", unknown))["status"] == "Rejected"
        modes = [e["transactionInfo"].get("operationMode") for e in stage.csms.all("TransactionEvent")]
        assert "CentralSetpoint" in modes


@pytest.mark.parametrize("model", ["Sim V2G 2.1", "Sim V2G 2.0.1", "Sim AC 2.1"])
async def test_needs_follow_the_authorization(model: str):
    """K15, Q01: v2xChargingParameters in 2.1 only; a station without V2X is silent."""
    async with scene(model) as stage:
        await stage.start_charging(car())
        if not MODELS[model].discharges:
            await stage.clock.advance(10)
            assert stage.csms.all("NotifyEVChargingNeeds") == []
            return
        needs = (await stage.csms.expect("NotifyEVChargingNeeds"))["chargingNeeds"]
        assert ("v2xChargingParameters" in needs) == (MODELS[model].version != V201)


async def test_needs_of_an_iso_15118_2_vehicle_refused_end_nothing():
    """K15.FR.04, V2G-13: in 15118-2 Rejected says that there is no schedule; a vehicle without V2X speaks it."""
    async with scene("Sim V2G 2.1") as stage:
        stage.csms.answers["NotifyEVChargingNeeds"] = {"status": "Rejected"}
        stage.station.plug(car(discharge_w=0.0))
        stage.station.present("CARD0001")
        needs = await stage.csms.expect("NotifyEVChargingNeeds")
        assert "controlMode" not in needs["chargingNeeds"]
        await stage.clock.advance(60)
        assert all(event["eventType"] != "Ended" for event in stage.csms.all("TransactionEvent"))
        assert stage.power_w > 0


async def test_needs_of_an_iso_15118_20_vehicle_refused_end_the_transaction():
    """Q01.FR.04-06: Rejected refuses the kind of energy transfer."""
    async with scene("Sim V2G 2.1") as stage:
        stage.csms.answers["NotifyEVChargingNeeds"] = {"status": "Rejected"}
        stage.station.plug(car())
        stage.station.present("CARD0001")
        ended = await stage.csms.expect("TransactionEvent", lambda p: p["eventType"] == "Ended")
        assert ended["transactionInfo"]["stoppedReason"] == "ReqEnergyTransferRejected"


@pytest.mark.parametrize("model", ["Sim V2G 1.6", "Sim V2G 2.0.1", "Sim V2G 2.1"])
async def test_the_composite_schedule_is_what_the_station_follows(model: str):
    """Scenario 41 (TC_066, TC_K_43)."""
    async with scene(model) as stage:
        await stage.start_charging(car())
        await discharge(stage, -4600.0)
        where = "connectorId" if MODELS[model].version == V16 else "evseId"
        answer = await stage.csms.call("GetCompositeSchedule", {where: 1, "duration": 600, "chargingRateUnit": "W"})
        plan = answer.get("chargingSchedule") or answer["schedule"]
        assert answer["status"] == "Accepted"
        first = plan["chargingSchedulePeriod"][0]
        assert first.get("limit", first.get("setpoint")) == -4600.0


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.1"])
async def test_clearing_a_profile_frees_the_station(model: str):
    """Scenario 40 (TC_067, TC_K_05)."""
    async with scene(model) as stage:
        await stage.start_charging(car())
        await stage.profile(3000.0)
        key = "id" if MODELS[model].version == V16 else "chargingProfileId"
        assert await stage.csms.call("ClearChargingProfile", {key: 101}) == {"status": "Accepted"}
        assert await stage.csms.call("ClearChargingProfile", {key: 101}) == {"status": "Unknown"}
        await stage.clock.advance(10)
        assert stage.power_w == 7360


async def test_samples_come_as_the_csms_configures_them_in_16():
    """Scenario 27 (TC_019, TC_021)."""
    async with scene("Sim AC 1.6") as stage:
        answers = [
            (await stage.csms.call("ChangeConfiguration", {"key": key, "value": value}))["status"]
            for key, value in [
                ("MeterValueSampleInterval", "30"),
                ("MeterValuesSampledData", "Energy.Active.Import.Register,SoC"),
                ("MeterValuesSampledData", "Energy.Active.Import.Register,Colour"),
                ("NumberOfConnectors", "4"),
                ("MeterValueSampleInterval", "often"),
                ("Colour", "blue"),
            ]
        ]
        assert answers == ["Accepted", "Accepted", "Rejected", "Rejected", "Rejected", "NotSupported"]
        await stage.start_charging(car())
        await stage.clock.advance(59)
        stage.station.unplug()
        await stage.csms.expect("StopTransaction")
        (sample,) = stage.csms.all("MeterValues")
        measurands = [value["measurand"] for value in sample["meterValue"][0]["sampledValue"]]
        assert measurands == ["Energy.Active.Import.Register", "SoC"]
        read = await stage.csms.call("GetConfiguration", {"key": ["MeterValueSampleInterval", "Colour"]})
        assert read["configurationKey"][0]["value"] == "30"
        assert read["unknownKey"] == ["Colour"]


async def test_variables_are_read_and_set_in_2x():
    """Scenario 27 (TC_B_06, TC_B_09)."""
    async with scene("Sim V2G 2.1", interval_fraction=0.5) as stage:
        tx_interval = {"component": {"name": "SampledDataCtrlr"}, "variable": {"name": "TxUpdatedInterval"}}
        unknown = {"component": {"name": "SampledDataCtrlr"}, "variable": {"name": "Colour"}}
        nowhere = {"component": {"name": "Nowhere"}, "variable": {"name": "Colour"}}
        given = [tx_interval | {"attributeValue": "20"}, unknown | {"attributeValue": "x"}]
        done = await stage.csms.call("SetVariables", {"setVariableData": given})
        assert [item["attributeStatus"] for item in done["setVariableResult"]] == ["Accepted", "UnknownVariable"]
        read = await stage.csms.call("GetVariables", {"getVariableData": [tx_interval, unknown, nowhere]})
        assert [item["attributeStatus"] for item in read["getVariableResult"]] == [
            "Accepted",
            "UnknownVariable",
            "UnknownComponent",
        ]
        assert read["getVariableResult"][0]["attributeValue"] == "20"
        await stage.start_charging(car())
        await stage.clock.advance(30)
        stage.station.unplug()
        await stage.csms.expect("TransactionEvent", lambda p: p["eventType"] == "Ended")
        periodic = [e for e in stage.csms.all("TransactionEvent") if e["triggerReason"] == "MeterValuePeriodic"]
        assert len(periodic) == 3


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.0.1", "Sim AC 2.1"])
async def test_triggered_messages_come_after_the_answer(model: str):
    """Scenario 32 (TC_054, TC_F_11)."""
    async with scene(model) as stage:
        await stage.csms.expect("StatusNotification", lambda p: p.get("connectorId") == 1)
        for message in ("BootNotification", "Heartbeat", "StatusNotification", "MeterValues"):
            assert await stage.csms.call("TriggerMessage", {"requestedMessage": message}) == {"status": "Accepted"}
            await stage.csms.expect(message)
        other = {"requestedMessage": "FirmwareStatusNotification"}
        assert (await stage.csms.call("TriggerMessage", other))["status"] == "NotImplemented"


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.1"])
async def test_what_a_station_does_not_know_is_not_implemented(model: str):
    """Scenario 13."""
    async with scene(model) as stage:
        assert await stage.csms.call("ClearCache", {}) == {"error": "NotImplemented"}
        assert await stage.csms.call("DataTransfer", {"vendorId": "x"}) == {"status": "UnknownVendorId"}


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.1"])
async def test_a_reset_ends_the_transaction_and_boots_again(model: str):
    """Scenario 26 (TC_013, TC_B_22)."""
    async with scene(model) as stage:
        await stage.start_charging(car())
        kind = "Hard" if MODELS[model].version == V16 else "Immediate"
        assert await stage.csms.call("Reset", {"type": kind}) == {"status": "Accepted"}
        await stage.station.until(lambda: stage.station.boots == 2 and stage.station.online)
        names = [name for _, name, _ in stage.csms.received]
        assert names.index("StopTransaction" if kind == "Hard" else "TransactionEvent") < len(names)
        if kind == "Immediate":
            reasons = [e["transactionInfo"].get("stoppedReason") for e in stage.csms.all("TransactionEvent")]
            assert "ImmediateReset" in reasons
            assert stage.csms.all("BootNotification")[-1]["reason"] == "RemoteReset"


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.1"])
async def test_a_pending_station_waits_for_the_interval_or_a_trigger(model: str):
    """Scenario 3 (TC_B_02, TC_B_30)."""
    async with scene(model) as stage:
        accepted = stage.csms.answers["BootNotification"]
        stage.csms.answers["BootNotification"] = accepted | {"status": "Pending", "interval": 60}
        await stage.csms.call("Reset", {"type": "Soft" if MODELS[model].version == V16 else "Immediate"})
        await stage.station.until(lambda: "Pending" in (stage.station.refusal or ""))
        assert not stage.station.online
        stage.csms.answers["BootNotification"] = accepted
        await stage.csms.call("TriggerMessage", {"requestedMessage": "BootNotification"})
        await stage.station.until(lambda: stage.station.online)


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.1"])
async def test_what_happened_offline_is_told_afterwards_with_its_own_time(model: str):
    """Scenario 15: original timestamps, one record; scenario 17: no new BootNotification."""
    async with scene(model) as stage:
        await stage.start_charging(car())
        await stage.clock.advance(5)
        stage.station.go_offline(60)
        await stage.station.until(lambda: not stage.station.online)
        await stage.clock.advance(30)
        stage.station.unplug()
        await stage.clock.advance(60)
        await stage.station.until(lambda: stage.station.online)
        unplugged = (START + timedelta(seconds=35)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        if MODELS[model].version == V16:
            stopped = await stage.csms.expect("StopTransaction")
            assert (stopped["timestamp"], stopped["transactionId"]) == (unplugged, 7)
        else:
            ended = await stage.csms.expect("TransactionEvent", lambda p: p["eventType"] == "Ended")
            assert (ended["timestamp"], ended["offline"]) == (unplugged, True)
            events = stage.csms.all("TransactionEvent")
            assert [event["seqNo"] for event in events] == list(range(len(events)))
        assert len(stage.csms.all("BootNotification")) == 1


async def test_a_whole_session_offline_gets_its_number_late_in_16():
    """Scenario 15 (S16E 3.18)."""
    async with scene("Sim AC 1.6", configuration={"AllowOfflineTxForUnknownId": "true"}) as stage:
        stage.station.go_offline(600)
        await stage.station.until(lambda: not stage.station.online)
        stage.station.plug(car())
        stage.station.present("CARD0001")
        await stage.clock.advance(30)
        assert stage.power_w == 7360
        stage.station.unplug()
        await stage.clock.advance(600)
        await stage.csms.expect("StartTransaction")
        assert (await stage.csms.expect("MeterValues"))["transactionId"] == 7
        assert (await stage.csms.expect("StopTransaction"))["transactionId"] == 7


async def test_a_transaction_that_nobody_numbered_stops_as_minus_one():
    """S16E 3.18: without StartTransaction.conf the station says -1."""
    async with scene("Sim AC 1.6") as stage:
        stage.csms.answers["StartTransaction"] = None
        stage.station.plug(car())
        stage.station.present("CARD0001")
        for attempt in (1, 2, 3):
            await stage.station.until(
                lambda n=attempt: sum("InternalError" in f.text for f in stage.station.frames) >= n
            )
            await stage.clock.advance(20)
        assert len(stage.csms.all("StartTransaction")) == 3
        stage.station.unplug()
        await stage.clock.advance(1)
        assert (await stage.csms.expect("StopTransaction"))["transactionId"] == -1


async def test_a_waiting_16_station_gives_up_after_its_connection_time_out():
    """Reference V2G §2.4 (S16E 3.20 B6): Preparing becomes Finishing, and a remote start is refused there."""
    async with scene("Sim AC 1.6", configuration={"ConnectionTimeOut": "60"}) as stage:
        stage.station.plug(car())
        await stage.clock.advance(61)
        await stage.csms.expect("StatusNotification", lambda p: p["status"] == "Finishing")
        late = await stage.csms.call("RemoteStartTransaction", {"connectorId": 1, "idTag": "TAG"})
        assert late == {"status": "Rejected"}


async def test_availability_by_notifyevent():
    """2.1 B01.FR.05, G01.FR.03: some stations never send StatusNotification."""
    async with scene("Sim AC 2.1", notify_event=True) as stage:
        stage.station.plug(car())
        event = await stage.csms.expect("NotifyEvent", lambda p: p["eventData"][0]["actualValue"] == "Occupied")
        assert event["eventData"][0]["component"]["name"] == "Connector"
        assert stage.csms.all("StatusNotification") == []


async def test_three_phases_need_more_to_start():
    async with scene("Sim AC 2.1", evse=EvseSpec(max_charge_w=11_000, phases=3)) as stage:
        await stage.start_charging(car())
        await stage.profile(4000.0)
        await stage.clock.advance(10)
        assert stage.power_w == 0
        await stage.profile(10.0, p_unit="A")
        await stage.clock.advance(10)
        assert stage.power_w == 6900


async def test_a_station_outlives_a_server_that_is_not_there():
    """Reconnect with back-off; the reason is kept for people."""
    async with scene("Sim AC 1.6") as stage:
        stage.station.drop_socket()
        await stage.station.until(lambda: not stage.station.online)
        await stage.station.until(lambda: stage.station.online)
        assert len(stage.csms.headers) == 2
        assert stage.station.boots == 1


async def test_heartbeats_keep_the_interval():
    async with scene("Sim AC 2.1") as stage:
        await stage.clock.advance(299)
        assert stage.csms.all("Heartbeat") == []
        await stage.clock.advance(2)
        await stage.csms.expect("Heartbeat")


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.0.1"])
async def test_the_stations_default_holds_every_evse_and_its_maximum_is_shared(model: str):
    """Scenarios 18 and 20 (TC_056, TC_K_01, TC_K_03, TC_K_10)."""
    is_v16 = MODELS[model].version == V16
    async with scene(model, evses=2) as stage:
        for evse in (1, 2):
            stage.csms.answers["StartTransaction"] = {"transactionId": evse, "idTagInfo": {"status": "Accepted"}}
            stage.station.plug(car(), evse)
            stage.station.present(f"CARD{evse}", evse)
            await stage.station.until(lambda n=evse: stage.station.evse(n).may_flow)
        for number, purpose, limit in ((1, "TxDefaultProfile", 5000.0), (2, "Max", 7000.0)):
            plan = {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}]}
            owner = "ChargePointMaxProfile" if is_v16 else "ChargingStationMaxProfile"
            common = {"stackLevel": 0, "chargingProfilePurpose": owner if purpose == "Max" else purpose}
            common |= {"chargingProfileKind": "Relative"}
            if is_v16:
                body = {"chargingProfileId": number, "chargingSchedule": plan} | common
                answer = await stage.csms.call("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": body})
            else:
                body = {"id": number, "chargingSchedule": [{"id": 1} | plan]} | common
                answer = await stage.csms.call("SetChargingProfile", {"evseId": 0, "chargingProfile": body})
            assert answer["status"] == "Accepted"
            await stage.clock.advance(10)
            powers = [round(stage.station.evse(evse).meter.power_w) for evse in (1, 2)]
            assert powers == ([5000, 5000] if number == 1 else [3500, 3500])


async def test_a_station_lives_with_a_server_that_talks_nonsense():
    """Any server: malformed frames are ignored, senseless answers are noted."""
    async with scene("Sim AC 1.6") as stage:
        for text in ("", "{", "[]", "[2]", '[3,"x"]', "17", '[[2],"a","b",{}]', '[9,"x",{}]', '[3,"nobody",{}]'):
            await stage.csms.shout(text)
        assert (await stage.csms.call("SetChargingProfile", {"connectorId": 1}))["error"] == "GenericError"
        stage.csms.answers["Authorize"] = {"surprise": 1}
        stage.station.plug(car())
        stage.station.present("CARD0001")
        await stage.station.until(lambda: "Authorize" in (stage.station.refusal or ""))
        assert stage.station.online


async def test_a_station_says_why_it_is_not_let_in():
    """Scenarios 4 and 22: no common version; wrong password."""

    def refuse(connection: ServerConnection, _: Request) -> Response:
        return connection.respond(401, "no")

    async def never(_: ServerConnection) -> None: ...

    for options, said in (({"process_request": refuse}, "401"), ({}, "does not speak ocpp2.1")):
        async with serve(never, "127.0.0.1", 0, **options) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ocpp"
            async with Station(StationSpec(id="S1", model=MODELS["Sim AC 2.1"]), url, password="x") as station:
                await station.until(lambda: bool(station.refusal))
                assert said in station.refusal
                assert not station.online


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.1"])
async def test_a_remote_start_may_bring_its_profile(model: str):
    """Scenario 43 (TC_059, TC_K_37)."""
    plan = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10.0}]}
    common = {"stackLevel": 1, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Relative"}
    async with scene(model) as stage:
        stage.station.plug(car())
        if MODELS[model].version == V16:
            body = {"chargingProfileId": 5, "chargingSchedule": plan} | common
            start = {"connectorId": 1, "idTag": "TAG", "chargingProfile": body}
            await stage.csms.call("RemoteStartTransaction", start)
        else:
            body = {"id": 5, "chargingSchedule": [{"id": 1} | plan]} | common
            start = {"evseId": 1, "idToken": {"idToken": "T", "type": "Central"}, "remoteStartId": 1}
            await stage.csms.call("RequestStartTransaction", start | {"chargingProfile": body})
        await stage.station.until(lambda: stage.station.evse().may_flow)
        await stage.clock.advance(10)
        assert stage.power_w == 2300


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.0.1", "Sim V2G 2.1"])
async def test_not_a_watt_hour_flows_before_the_profile_of_a_remote_start(model: str):
    """P4: a start at 0 W, also when the station ticks seldom."""
    async with scene(model, tick_s=30.0) as stage:
        stage.station.plug(car())
        at = stage.clock.now().isoformat()
        limit = {"startPeriod": 0, "limit": 0.0}
        plan = {"startSchedule": at, "duration": 600, "chargingRateUnit": "W", "chargingSchedulePeriod": [limit]}
        common = {"stackLevel": 1, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Absolute"}
        before = stage.station.evse().meter.import_wh
        await stage.clock.advance(7)
        if MODELS[model].version == V16:
            body = {"chargingProfileId": 1001, "chargingSchedule": plan} | common
            start = {"connectorId": 1, "idTag": "TAG", "chargingProfile": body}
            await stage.csms.call("RemoteStartTransaction", start)
        else:
            body = {"id": 1001, "chargingSchedule": [{"id": 1} | plan]} | common
            start = {"evseId": 1, "idToken": {"idToken": "T", "type": "Central"}, "remoteStartId": 1}
            await stage.csms.call("RequestStartTransaction", start | {"chargingProfile": body})
        await stage.station.until(lambda: stage.station.evse().may_flow)
        await stage.clock.advance(60)
        assert stage.station.evse().meter.import_wh == before


@pytest.mark.parametrize("model", ["Sim AC 1.6", "Sim AC 2.0.1"])
async def test_the_same_card_stops_what_it_started_and_its_profiles_are_gone(model: str):
    async with scene(model) as stage:
        await stage.start_charging(car())
        await stage.profile(3000.0)
        stage.station.present("OTHER")
        assert stage.station.evse().session is not None
        stage.station.present("CARD0001")
        assert stage.station.evse().session is None
        assert stage.station.hardware.profiles == ()


async def test_a_transaction_may_start_with_the_card_in_2x():
    """Scenario 33 (TC_E_04): TxStartPoint Authorized, no cable within EVConnectionTimeOut."""
    points = {"TxCtrlr.TxStartPoint": "Authorized", "TxCtrlr.EVConnectionTimeOut": "60"}
    async with scene("Sim AC 2.0.1", configuration=points) as stage:
        stage.station.present("CARD0001")
        started = await stage.csms.expect("TransactionEvent")
        assert (started["eventType"], started["triggerReason"]) == ("Started", "Authorized")
        await stage.clock.advance(61)
        ended = await stage.csms.expect("TransactionEvent", lambda p: p["eventType"] == "Ended")
        assert ended["transactionInfo"]["stoppedReason"] == "Timeout"


async def test_a_reset_on_idle_waits_for_the_transaction():
    """Scenario 26 (TC_B_21)."""
    async with scene("Sim AC 2.1") as stage:
        await stage.start_charging(car())
        assert await stage.csms.call("Reset", {"type": "OnIdle"}) == {"status": "Scheduled"}
        await stage.clock.advance(5)
        assert stage.station.boots == 1
        stage.station.unplug()
        await stage.station.until(lambda: stage.station.boots == 2 and stage.station.online)
        assert stage.csms.all("BootNotification")[-1]["reason"] == "ScheduledReset"


async def test_a_setpoint_dies_with_a_server_that_stays_away():
    """2.1 maxOfflineDuration with invalidAfterOfflineDuration (V2G-5): discharge ends and stays ended."""
    async with scene("Sim V2G 2.1") as stage:
        await stage.start_charging(car())
        bounds = {"p_maxOfflineDuration": 60, "p_invalidAfterOfflineDuration": True}
        answer = await stage.profile(operationMode="CentralSetpoint", setpoint=-5000.0, **bounds)
        assert answer["status"] == "Accepted"
        await stage.clock.advance(10)
        stage.station.go_offline(300)
        await stage.station.until(lambda: not stage.station.online)
        await stage.clock.advance(55)
        assert stage.power_w == -5000
        await stage.clock.advance(20)
        assert stage.power_w == 7360
        await stage.clock.advance(300)
        await stage.station.until(lambda: stage.station.online)
        assert stage.station.hardware.profiles == ()


async def test_a_profile_right_behind_the_start_s_answer_finds_the_transaction():
    """A CSMS may send StartTransaction.conf and SetChargingProfile in one breath."""
    async with scene("Sim AC 1.6") as stage:
        plan = {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 3000.0}]}
        body = {"chargingProfileId": 5, "stackLevel": 1, "chargingProfilePurpose": "TxProfile", "transactionId": 7}
        body |= {"chargingProfileKind": "Relative", "chargingSchedule": plan}
        request = {"connectorId": 1, "csChargingProfiles": body}
        stage.csms.right_behind["StartTransaction"] = ("SetChargingProfile", request)
        await stage.start_charging(car())
        await stage.clock.advance(10)
        assert stage.power_w == 3000
