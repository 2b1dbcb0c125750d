"""Frames over real sockets: scenarios 3, 11, 12, 13, 14 of the reference, the boot gate, our calls."""

import asyncio

import pytest
from websockets.exceptions import ConnectionClosed

from csms.domain.commands import (
    Accepted,
    CallFailed,
    CallResult,
    Configure,
    Offline,
    Rejected,
    Reset,
    StopTransaction,
    TimedOut,
    Trigger,
    TriggerKind,
)
from csms.domain.errors import BadRequest
from csms.domain.facts import Booted, Heartbeat, Metered, Unintelligible
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.domain.station import BootState, Version

CS1 = StationId("CS1")
METER = {"connectorId": 1, "meterValue": [{"timestamp": "2026-11-20T12:00:00Z", "sampledValue": [{"value": "1"}]}]}
BOOT_16 = {"chargePointVendor": "v", "chargePointModel": "m"}
BOOT_2 = {"reason": "PowerUp", "chargingStation": {"vendorName": "v", "model": "m"}}


def background(coroutine):
    return asyncio.get_running_loop().create_task(coroutine)


async def test_a_message_becomes_a_fact_and_its_answer_a_result(edge):
    station = await edge.online()
    answer = await station.ask(2, "b", "BootNotification", BOOT_16)
    assert (answer[0], answer[1], answer[2]["status"]) == (3, "b", "Accepted")
    assert await station.ask(2, "m", "MeterValues", METER) == [3, "m", {}]
    assert [type(fact) for fact in edge.intake.facts] == [Booted, Metered]
    assert edge.intake.facts[1].origin.message_id == "m"


async def test_the_answer_waits_for_the_commit_and_others_do_not_wait_for_it(edge):
    """Design §3: replies leave after the commit."""
    edge.intake.holds = True
    station = await edge.online()
    await station.say(2, "1", "Heartbeat", {})
    await station.say(2, "2", "Heartbeat", {})
    await edge.intake.until(lambda: len(edge.intake.held) == 2)
    for fact, done in reversed(edge.intake.held):
        done(edge.intake.answer_to(fact))
    assert [(await station.hear())[1] for _ in range(2)] == ["2", "1"]


async def test_messages_and_pending_calls_of_two_stations_never_mix(edge):
    """Scenario 11 (P0): two stations, the same message ids."""
    one, two = await edge.online(), await edge.online("/ocpp/CS2")
    calls = [background(edge.hub.call(name, "ClearCache", {}, 5)) for name in ("CS1", "CS2")]
    first, second = await one.hear(), await two.hear()
    await one.say(3, second[1], {"status": "Accepted"})  # CS1 answers with CS2's id: nobody's answer
    await one.say(3, first[1], {"status": "Rejected"})
    await two.say(3, second[1], {"status": "Accepted"})
    assert [outcome.payload["status"] for outcome in await asyncio.gather(*calls)] == ["Rejected", "Accepted"]
    for station, name in ((one, "CS1"), (two, "CS2")):
        await station.ask(2, "1", "Heartbeat", {})
        assert edge.intake.facts[-1].origin.station == name


async def test_the_newest_socket_wins_and_the_old_pending_call_fails(edge):
    """Scenario 11 (P0), field lesson 1, V2G-50."""
    old = await edge.online()
    pending = [background(edge.hub.call(CS1, "ClearCache", {}, 30)) for _ in range(3)]
    await old.hear()
    new = await edge.online(version="ocpp2.0.1")
    assert await asyncio.gather(*pending) == [Offline()] * 3
    with pytest.raises(ConnectionClosed) as closed:
        await old.hear()
    assert closed.value.rcvd.code == 1000
    assert edge.hub.version_of(CS1) is Version.V201
    assert (await new.ask(2, "1", "Heartbeat", {}))[0] == 3


async def test_the_old_sockets_late_close_does_not_deregister_the_new(edge):
    """Field lesson 2: connect A, connect B, close A -> B still commandable."""
    old = await edge.online()
    new = await edge.online()
    await old.socket.wait_closed()
    call = background(edge.hub.call(CS1, "ClearCache", {}, 5))
    _, message_id, *_ = await new.hear()
    await new.say(3, message_id, {"status": "Accepted"})
    assert await call == CallResult({"status": "Accepted"})
    assert edge.count("disconnected") == 0
    await new.socket.close()
    await edge.intake.until(lambda: edge.count("disconnected") == 1)
    assert edge.hub.version_of(CS1) is None


@pytest.mark.parametrize("version", list(Version))
@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", "[2]", '"x"', "[2,", "[[[[", '[2,5,"Heartbeat",{}]', "\u0000", '["2","x"]'],
)
async def test_malformed_text_leaves_the_socket_usable(edge, version, text):
    """Scenario 12 (P0): malformed JSON, wrong array shape. V2G-57: answered with the id "-1" or the one it has."""
    station = await edge.online(version=version.value)
    await station.socket.send(text)
    kind, message_id, *_ = await station.hear()
    assert (kind, message_id) == (4, "x" if 'x"]' in text else "-1")
    assert (await station.ask(2, "1", "Heartbeat", {}))[:2] == [3, "1"]


@pytest.mark.parametrize("version", list(Version))
@pytest.mark.parametrize("text", ['[7,"x"]', '[0,"x","Heartbeat",{}]', '[3,"x",', "[4]", "[3]"])
async def test_unknown_types_and_broken_answers_get_no_answer(edge, version, text):
    """Scenario 12 (P0): unknown message type; OCPP-J §4.1.3: ignored. A broken answer is not to be answered."""
    station = await edge.online(version=version.value)
    await station.socket.send(text)
    assert (await station.ask(2, "1", "Heartbeat", {}))[:2] == [3, "1"]


async def test_bytes_that_are_no_text_leave_the_socket_usable(edge):
    """Scenario 12 (P0)."""
    station = await edge.online()
    await station.socket.send(b"\xff\xfe[2,")
    assert (await station.hear())[:2] == [4, "-1"]
    assert (await station.ask(2, "1", "Heartbeat", {}))[:2] == [3, "1"]


async def test_one_stations_rubbish_does_not_reach_another(edge):
    """Scenario 12 (P0), issue: other stations notice nothing."""
    good, bad = await edge.online(), await edge.online("/ocpp/CS2", max_size=None)
    await bad.socket.send("[" * 5000)
    await bad.socket.send("x" * (2 * 1024 * 1024))
    await bad.socket.wait_closed()
    assert bad.socket.close_code == 1009
    assert (await good.ask(2, "1", "Heartbeat", {}))[:2] == [3, "1"]


async def test_fragments_are_joined(edge):
    station = await edge.online()
    await station.socket.send(iter(['[2,"f",', '"Heart', 'beat",{}]']))
    assert (await station.hear())[:2] == [3, "f"]


@pytest.mark.parametrize(
    ("version", "action", "payload", "code"),
    [
        ("ocpp1.6", "Abracadabra", {}, "NotImplemented"),
        ("ocpp2.0.1", "Abracadabra", {}, "NotImplemented"),
        ("ocpp2.1", "Abracadabra", {}, "NotImplemented"),
        ("ocpp2.1", "HeartbeatResponse", {}, "NotImplemented"),
        ("ocpp1.6", "Authorize", {"idTag": "x"}, "NotSupported"),
        ("ocpp2.1", "NotifyDERAlarm", {}, "NotSupported"),
        ("ocpp1.6", "BootNotification", {"chargePointVendor": "v"}, "ProtocolError"),
        ("ocpp2.0.1", "BootNotification", {"reason": "PowerUp"}, "OccurrenceConstraintViolation"),
        ("ocpp1.6", "BootNotification", {**BOOT_16, "colour": "red"}, "FormationViolation"),
        ("ocpp2.1", "BootNotification", {**BOOT_2, "colour": "red"}, "FormatViolation"),
        ("ocpp1.6", "BootNotification", {**BOOT_16, "chargePointVendor": 1}, "TypeConstraintViolation"),
        ("ocpp2.1", "BootNotification", [], "FormatViolation"),
        ("ocpp1.6", "BootNotification", "text", "FormationViolation"),
        ("ocpp2.1", "BootNotification", {**BOOT_2, "reason": "Whim"}, "PropertyConstraintViolation"),
        ("ocpp1.6", "BootNotification", {**BOOT_16, "chargePointVendor": "v" * 21}, "PropertyConstraintViolation"),
    ],
)
async def test_what_does_not_fit_gets_the_versions_error_code(edge, version, action, payload, code):
    """Scenario 13 (P0): unknown action -> NotImplemented; schema violation -> the code in the version's spelling."""
    station = await edge.online(version=version)
    kind, message_id, given, description, details = await station.ask(2, "x", action, payload)
    assert (kind, message_id, given, details) == (4, "x", code, {})
    assert 0 < len(description) <= 255
    assert edge.hub.counters(CS1).errors == 1


async def test_the_error_names_the_field_and_not_the_payload(edge):
    station = await edge.online(version="ocpp2.1")
    payload = {**BOOT_2, "chargingStation": {"vendorName": "SECRET" * 20, "model": "m"}}
    *_, description, _ = await station.ask(2, "x", "BootNotification", payload)
    assert description == "chargingStation.vendorName breaks maxLength 50"


async def test_the_tolerant_reader_mends_and_counts(edge):
    """V2G-58: coercions are counted per station."""
    station = await edge.online()
    assert await station.ask(2, "m", "MeterValues", {**METER, "connectorId": "1"}) == [3, "m", {}]
    assert edge.intake.facts[-1].evse == EvseRef(CS1, 1)
    assert edge.hub.counters(CS1).coercions == {"int_as_text": 1}
    assert edge.hub.counters(StationId("CS2")).coercions == {}


@pytest.mark.parametrize(
    "text",
    [
        '[2,"q","MeterValues",{"connectorId":"x"}]',
        '[2,"q","MeterValues",null]',
        '[2,"q","MeterValues",{"connectorId":1,"meterValue":[,{]}]',
    ],
)
async def test_what_must_be_confirmed_is_quarantined_and_confirmed(edge, text):
    """V2G-39, field lessons 8 and 20: never CALLERROR because of a meter value's content, not even broken JSON."""
    station = await edge.online()
    await station.socket.send(text)
    assert await station.hear() == [3, "q", {}]
    fact = edge.intake.facts[-1]
    assert isinstance(fact, Unintelligible)
    assert (fact.action, fact.raw) == ("MeterValues", text)


async def test_a_start_that_cannot_be_understood_still_gets_a_transaction_id(edge):
    """Field lesson 10: always an id > 0, even when the start is refused."""
    station = await edge.online()
    start = {"connectorId": 1, "idTag": "T", "timestamp": "2026-13-45", "meterStart": 0}
    assert await station.ask(2, "s", "StartTransaction", start) == [
        3,
        "s",
        {"transactionId": 4711, "idTagInfo": {"status": "Invalid"}},
    ]


@pytest.mark.parametrize(
    ("action", "payload", "answer"),
    [
        ("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Available"}, [3, "1", {}]),
        ("DataTransfer", {"vendorId": "v"}, [4, "1", "InternalError", "The central system failed", {}]),
    ],
)
async def test_a_reply_of_ours_that_does_not_fit_never_leaves(edge, action, payload, answer):
    """V2G-58: strict writer. What must be confirmed is confirmed all the same."""
    station = await edge.online()
    assert await station.ask(2, "1", action, payload) == answer


async def test_answers_that_nobody_waits_for_are_ignored_and_counted(edge):
    """Scenario 14 (P0): CALLRESULT / CALLERROR for an id we never sent."""
    station = await edge.online()
    await station.say(3, "never", {"status": "Accepted"})
    await station.say(4, "never", "GenericError", "", {})
    assert (await station.ask(2, "1", "Heartbeat", {}))[:2] == [3, "1"]
    assert edge.hub.counters(CS1).late_answers == 2


async def test_a_late_answer_is_not_taken_for_the_next_call(edge):
    """Scenario 14 (P0)."""
    station = await edge.online()
    assert await edge.hub.call(CS1, "ClearCache", {}, 0.01) == TimedOut()
    _, late_id, *_ = await station.hear()
    following = background(edge.hub.call(CS1, "ClearCache", {}, 5))
    _, next_id, *_ = await station.hear()
    await station.say(3, late_id, {"status": "Rejected"})
    await station.say(3, next_id, {"status": "Accepted"})
    assert await following == CallResult({"status": "Accepted"})
    assert edge.hub.counters(CS1).late_answers == 1


async def test_calls_go_out_one_at_a_time_in_order(edge):
    """V2G-52; a CALL of the station in between is answered at once (V2G-53)."""
    station = await edge.online()
    calls = [background(edge.hub.call(CS1, "GetConfiguration", {"key": [str(n)]}, 5)) for n in range(3)]
    for n in range(3):
        _, message_id, _, payload = await station.hear()
        assert payload == {"key": [str(n)]}
        assert (await station.ask(2, "h", "Heartbeat", {}))[:2] == [3, "h"]
        await station.say(3, message_id, {"unknownKey": [str(n)]})
    assert [outcome.payload["unknownKey"] for outcome in await asyncio.gather(*calls)] == [["0"], ["1"], ["2"]]


async def test_a_call_whose_time_ran_out_in_the_queue_is_never_sent(edge):
    """V2G-52: never sent late; and one that nobody waits for any longer is not sent either."""
    station = await edge.online()
    first = background(edge.hub.call(CS1, "GetConfiguration", {"key": ["1"]}, 5))
    _, message_id, *_ = await station.hear()
    given_up = background(edge.hub.call(CS1, "GetConfiguration", {"key": ["2"]}, 5))
    assert await edge.hub.call(CS1, "GetConfiguration", {"key": ["3"]}, 0.01) == TimedOut()
    given_up.cancel()
    last = background(edge.hub.call(CS1, "GetConfiguration", {"key": ["4"]}, 5))
    await asyncio.sleep(0)
    await station.say(3, message_id, {})
    _, message_id, _, payload = await station.hear()
    assert payload == {"key": ["4"]}
    await station.say(3, message_id, {})
    assert await first == await last == CallResult({})


async def test_a_lost_socket_fails_its_calls_at_once(edge):
    """Field lesson 7."""
    station = await edge.online()
    calls = [background(edge.hub.call(CS1, "ClearCache", {}, 30)) for _ in range(2)]
    await station.hear()
    station.socket.transport.abort()
    assert await asyncio.gather(*calls) == [Offline(), Offline()]
    assert await edge.hub.call(CS1, "ClearCache", {}, 30) == Offline()


async def test_a_call_error_is_passed_on(edge):
    station = await edge.online()
    call = background(edge.hub.call(CS1, "ClearCache", {}, 5))
    _, message_id, *_ = await station.hear()
    await station.say(4, message_id, "OccurrenceConstraintViolation", "why", {"a": 1})
    assert await call == CallFailed("OccurrenceConstraintViolation", "why", {"a": 1})


@pytest.mark.parametrize(
    ("action", "payload", "field"),
    [
        ("NoSuch", {}, "action"),
        ("Reset", {"type": "Warm"}, "payload.type"),
        ("Reset", {}, "payload.type"),
        ("ClearCache", {"x": 1}, "payload.x"),
    ],
)
async def test_a_call_by_hand_must_fit_the_schema(edge, action, payload, field):
    await edge.online()
    with pytest.raises(BadRequest) as refused:
        await edge.hub.call(CS1, action, payload, 5)
    assert refused.value.field == field


async def test_a_call_by_hand_goes_out_compact_with_its_keys_in_order(edge):
    """Design §5."""
    station = await edge.online()
    payload = {"value": "1", "key": "K"}
    background(edge.hub.call(CS1, "ChangeConfiguration", payload, 5))
    text = await station.socket.recv()
    assert text.endswith(',"ChangeConfiguration",{"value":"1","key":"K"}]')


async def test_commands_are_encoded_for_the_connections_version(edge):
    station = await edge.online()
    reset = Reset(station=CS1, hard=True)
    command = background(edge.hub.send(reset))
    _, message_id, action, payload = await station.hear()
    assert (action, payload) == ("Reset", {"type": "Hard"})
    await station.say(3, message_id, {"status": "Rejected"})
    assert await command == Rejected("Rejected")
    stop = StopTransaction(station=CS1, transaction=TransactionId("1"))
    assert await edge.hub.send(stop) == Rejected("NotSupported")
    assert await edge.hub.send(Reset(station=StationId("CS2"))) == Offline()


async def test_a_command_of_several_calls_sends_them_in_order(edge):
    station = await edge.online()
    command = background(edge.hub.send(Trigger(evse=EvseRef(CS1, 0), kind=TriggerKind.STATUS)))
    for _ in range(2):
        _, message_id, *_ = await station.hear()
        await station.say(3, message_id, {"status": "Accepted"})
    assert await command == Accepted()


async def test_an_answer_that_is_no_object_fails_the_call(edge):
    """2.1 part 4 §4.2.4: CALLRESULTERROR tells the station."""
    station = await edge.online(version="ocpp2.1")
    call = background(edge.hub.call(CS1, "ClearCache", {}, 5))
    _, message_id, *_ = await station.hear()
    reply = await station.ask(3, message_id, [])
    assert reply[:3] == [5, message_id, "FormatViolation"]
    assert isinstance(await call, CallFailed)


async def test_send_and_call_result_error_are_never_answered(edge):
    """V2G-57: types 5 and 6 of 2.1."""
    station = await edge.online(version="ocpp2.1")
    stream = {"id": 1, "pending": 0, "basetime": "2026-11-20T12:00:00Z", "data": [{"t": 0, "v": "1"}]}
    await station.say(6, "s", "NotifyPeriodicEventStream", stream)
    await station.say(6, "s", "NoSuch", {})
    await station.say(5, "x", "FormatViolation", "", {})
    assert (await station.ask(2, "1", "Heartbeat", {}))[:2] == [3, "1"]
    assert edge.hub.counters(CS1).dropped == {"send": 1, "unknown_send": 1, "call_result_error": 1}


@pytest.mark.parametrize("version", ["ocpp2.0.1", "ocpp2.1"])
@pytest.mark.parametrize("state", [BootState.NEVER, BootState.PENDING, BootState.REJECTED])
async def test_a_station_that_is_not_accepted_gets_security_error_until_it_is(edge, version, state):
    """Scenario 3 (P0), V2G-61: B02.FR.09, B03.FR.07."""
    edge.admission.boot_state = edge.intake.boot_state = state if state is not BootState.NEVER else BootState.PENDING
    edge.admission.boot_state = state
    station = await edge.online(version=version)
    assert (await station.ask(2, "1", "Heartbeat", {}))[2] == "SecurityError"
    await station.ask(2, "2", "BootNotification", BOOT_2)
    assert (await station.ask(2, "3", "Heartbeat", {}))[2] == "SecurityError"
    edge.intake.boot_state = BootState.ACCEPTED
    await station.ask(2, "4", "BootNotification", BOOT_2)
    assert (await station.ask(2, "5", "Heartbeat", {}))[0] == 3


async def test_a_pending_station_may_still_be_queried(edge):
    """Scenario 3 (P0): the central system keeps it out of service and may ask."""
    edge.admission.boot_state = BootState.PENDING
    station = await edge.online(version="ocpp2.0.1")
    report = {"requestId": 1, "generatedAt": "2026-11-20T12:00:00Z", "seqNo": 0}
    call = background(edge.hub.call(CS1, "GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"}, 5))
    _, message_id, *_ = await station.hear()
    await station.say(3, message_id, {"status": "Accepted"})
    assert isinstance(await call, CallResult)
    assert (await station.ask(2, "r", "NotifyReport", report))[2] == "NotSupported"  # let through, not handled yet


async def test_a_16_station_is_answered_before_its_boot(edge):
    """Reference csms-field-lessons §8a: wrong boot order is accepted in 1.6."""
    edge.admission.boot_state = BootState.NEVER
    station = await edge.online()
    assert (await station.ask(2, "1", "Heartbeat", {}))[0] == 3
    assert isinstance(edge.intake.facts[-1], Heartbeat)


async def test_an_accepted_station_reconnects_without_a_boot(edge):
    """V2G-61: accepted stations reconnecting without boot stay accepted."""
    station = await edge.online(version="ocpp2.0.1")
    assert (await station.ask(2, "1", "Heartbeat", {}))[0] == 3


async def test_the_log_of_frames_never_holds_a_password(edge):
    station = await edge.online()
    background(edge.hub.call(CS1, "ChangeConfiguration", {"key": "AuthorizationKey", "value": "TOPSECRET"}, 5))
    await station.hear()
    diagnostics = {"location": "ftp://joe:TOPSECRET@host/x"}
    other = await edge.online("/ocpp/CS2")
    background(edge.hub.call("CS2", "GetDiagnostics", diagnostics, 5))
    await other.hear()
    logs = [edge.hub.frames(StationId(name)) for name in ("CS1", "CS2")]
    assert all("TOPSECRET" not in text for log in logs for _, _, text in log)
    assert [direction for _, direction, _ in logs[0]] == ["out"]
    assert "ChangeConfiguration" in logs[0][0][2]
    assert "ftp://***@host/x" in logs[1][0][2]


async def test_sockets_are_not_read_while_the_write_queue_is_full(edge):
    """Design §3: the queue is bounded; above the bound, sockets are not read."""
    station = await edge.online()
    edge.intake.is_full = True
    await station.ask(2, "1", "Heartbeat", {})
    await station.say(2, "2", "Heartbeat", {})
    other = await edge.online("/ocpp/CS2")  # proof that the loop has gone round
    assert [fact.origin.message_id for fact in edge.intake.facts] == ["1"]
    edge.intake.is_full = False
    assert (await station.hear())[1] == "2"
    assert (await other.ask(2, "3", "Heartbeat", {}))[1] == "3"


async def test_a_silent_station_is_pinged_and_dropped_when_it_does_not_answer(make_edge):
    """V2G-51, field lesson 3: half-open sockets."""
    edge = await make_edge(ping_interval_s=0.05, pong_timeout_s=0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.hub.port)
    request = (
        "GET /ocpp/CS1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
    )
    writer.write(request.encode())
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(2) == b"\x89\x00"
    await edge.intake.until(lambda: edge.count("disconnected") == 1)
    writer.close()


async def test_closing_the_hub_tells_stations_to_come_back(make_edge):
    """Field lesson 25: graceful drain with 1012."""
    edge = await make_edge()
    station = await edge.online()
    closing = background(edge.hub.close())
    with pytest.raises(ConnectionClosed) as closed:
        await station.hear()
    assert closed.value.rcvd.code == 1012
    await closing


async def test_what_follows_is_read_as_the_booted_model_means_it(edge):
    """V2G-21: quirks belong to vendor, model and firmware, which the boot tells."""
    seen = []
    decode = edge.hub._desk.translation.ROUTES[Version.V16]["Heartbeat"].decode
    route = edge.hub._desk.translation.ROUTES[Version.V16]["Heartbeat"]

    def spy(payload, context, message_id):
        seen.append(context.quirks.name)
        return decode(payload, context, message_id)

    edge.hub._desk.translation.ROUTES = {
        Version.V16: {**edge.hub._desk.translation.ROUTES[Version.V16], "Heartbeat": route._replace(decode=spy)}
    }
    station = await edge.online()
    await station.ask(2, "1", "Heartbeat", {})
    await station.ask(2, "2", "BootNotification", BOOT_16)
    await station.ask(2, "3", "Heartbeat", {})
    assert seen == ["unknown", "v m"]


async def test_a_failure_of_ours_leaves_the_message_unanswered_and_the_socket_usable(edge):
    """Design §3: never answered with CALLERROR because *we* failed; the station sends it again."""
    station = await edge.online()
    receive, edge.intake.receive = edge.intake.receive, None
    await station.say(2, "1", "MeterValues", METER)
    await (await station.socket.ping())  # the pong tells that the message has been read
    edge.intake.receive = receive
    await station.say(2, "2", "MeterValues", METER)
    assert await station.hear() == [3, "2", {}]


async def test_a_station_that_leaves_at_a_key_has_answered_those_before_it(edge):
    """Lesson 22: what made it reboot is among what was told it, and is known by its place."""
    station = await edge.online()
    sent = background(edge.hub.send(Configure(station=CS1, sample_interval_s=60)))
    first = await station.hear()
    await station.say(3, first[1], {"status": "Accepted"})
    await station.hear()
    await station.socket.close()
    assert await sent == Accepted({"statuses": ["Accepted"]})


async def test_a_key_that_is_answered_with_an_error_counts_as_refused_and_the_others_are_set(edge):
    """V2G-6: one key that a station does not know says nothing of the next."""
    station = await edge.online()
    sent = background(edge.hub.send(Configure(station=CS1, sample_interval_s=60)))
    first = await station.hear()
    await station.say(4, first[1], "InternalError", "", {})
    second = await station.hear()
    await station.say(3, second[1], {"status": "Accepted"})
    assert [first[3]["key"], second[3]["key"]] == ["MeterValueSampleInterval", "MeterValuesSampledData"]
    assert await sent == Accepted({"statuses": ["Rejected", "Accepted"]})


async def test_c5_a_null_payload_is_an_empty_one(edge):
    """C5: stations send ``null`` where a message has no fields."""
    station = await edge.online()
    assert (await station.ask(2, "1", "Heartbeat", None))[:2] == [3, "1"]
    assert edge.hub.counters(CS1).coercions == {"null_payload": 1}


async def test_c5_no_nul_gets_in(edge):
    """C5: PostgreSQL keeps none, and a whole message was quarantined for it."""
    station = await edge.online(version="ocpp2.1")
    assert (await station.ask(2, "1", "BootNotification", BOOT_2 | {"reason": "PowerUp"}))[0] == 3
    await station.socket.send('[2,"2","MeterValues",{"evseId":1,"meterValue":[],"x\\u0000":1}]')
    assert (await station.hear())[:2] == [3, "2"]
    assert "\x00" not in edge.intake.facts[-1].why


async def test_c12_a_call_that_only_stations_send_is_not_sent_to_one(edge):
    """C12."""
    await edge.online()
    with pytest.raises(BadRequest) as refused:
        await edge.hub.call(CS1, "Heartbeat", {}, 5)
    assert refused.value.field == "action"
