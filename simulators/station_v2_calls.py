"""What a CSMS asks of a 2.x station."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulators.hardware import Evse, Grant, Hardware, Payload
from simulators.metering import meter_value_v2
from simulators.profile_rules import Named
from simulators.profiles import Demand
from simulators.rpc import Reply
from simulators.smart_charging import clear_profiles, composite, set_profile, shown_limit, update_dynamic

if TYPE_CHECKING:
    from simulators.station_v2 import Dialect2

ACCEPTED: Payload = {"status": "Accepted"}


class Calls2:
    """One method per action."""

    def __init__(self, hardware: Hardware, dialect: "Dialect2") -> None:
        self._hardware = hardware
        self._dialect = dialect

    def on_request_start_transaction(self, payload: Payload) -> Reply:
        evse = self._hardware.evses.get(payload.get("evseId", 1))
        if evse is None or evse.grant or (evse.session and evse.session.authorized):
            return Reply(_rejected("TxInProgress" if evse else "UnknownEvse"))
        token = payload["idToken"]
        grant = Grant(token["idToken"], token["type"], payload["remoteStartId"], payload.get("chargingProfile"))
        ask_first = self._hardware.configuration.is_on("authorize_remote")
        deed = self._dialect.authorize if ask_first else self._dialect.granted
        known = {"transactionId": evse.session.transaction} if evse.session else {}  # F01.FR.13
        return Reply(ACCEPTED | known, lambda: deed(evse, grant))

    def on_request_stop_transaction(self, payload: Payload) -> Reply:
        for evse in self._hardware.evses.values():
            if evse.session and evse.session.transaction == payload["transactionId"]:
                return Reply(ACCEPTED, self._ending(evse, "RemoteStop", "Remote"))
        return Reply(_rejected("TxNotFound"))

    def _ending(self, evse: Evse, trigger: str, reason: str) -> Callable[[], None]:
        return lambda: self._dialect.end(evse, trigger, reason)

    def on_set_charging_profile(self, payload: Payload) -> Reply:
        reason = set_profile(self._hardware, payload["chargingProfile"], payload["evseId"])
        return Reply(_rejected(reason) if reason else ACCEPTED)

    def on_update_dynamic_schedule(self, payload: Payload) -> Reply:
        reason = update_dynamic(self._hardware, payload["chargingProfileId"], payload["scheduleUpdate"])
        return Reply(_rejected(reason) if reason else ACCEPTED)

    def on_clear_charging_profile(self, payload: Payload) -> Reply:
        named = payload.get("chargingProfileCriteria", {})
        status = clear_profiles(
            self._hardware,
            Named(
                profile=payload.get("chargingProfileId"),
                evse=named.get("evseId"),
                purpose=named.get("chargingProfilePurpose"),
                level=named.get("stackLevel"),
            ),
        )
        return Reply({"status": status})

    def on_get_composite_schedule(self, payload: Payload) -> Reply:
        evse = self._hardware.evses.get(payload["evseId"] or 1)
        if evse is None:
            return Reply(_rejected("UnknownEvse"))
        unit = payload.get("chargingRateUnit", "W")
        periods = [
            {"startPeriod": start} | self._composite_period(evse, wanted, unit)
            for start, wanted in composite(self._hardware, evse, payload["duration"])
        ]
        schedule = {
            "evseId": payload["evseId"],
            "duration": payload["duration"],
            "scheduleStart": self._hardware.stamp(),
            "chargingRateUnit": unit,
            "chargingSchedulePeriod": periods,
        }
        return Reply(ACCEPTED | {"schedule": schedule})

    def _composite_period(self, evse: Evse, wanted: Demand, unit: str) -> Payload:
        power = shown_limit(evse, wanted, unit)
        if not self._dialect.is_v21 or wanted.setpoint_w is None:
            return {"limit": power}
        return {"operationMode": wanted.mode} | ({} if wanted.mode == "Idle" else {"setpoint": power})

    def on_trigger_message(self, payload: Payload) -> Reply:
        number = payload.get("evse", {}).get("id", 0)
        if number not in (0, *self._hardware.evses):
            return Reply(_rejected("UnknownEvse"))
        evses = [evse for evse in self._hardware.evses.values() if number in (0, evse.number)]
        deed = self._deeds(evses).get(payload["requestedMessage"])
        return Reply(ACCEPTED, deed) if deed else Reply({"status": "NotImplemented"})

    def _deeds(self, evses: list[Evse]) -> dict[str, Callable[[], None]]:
        def each(act: Callable[[Evse], None]) -> Callable[[], None]:
            def act_on_all() -> None:
                for evse in evses:
                    act(evse)

            return act_on_all

        return {
            "BootNotification": lambda: self._hardware.tell(*self._dialect.boot("Triggered")),
            "Heartbeat": lambda: self._hardware.tell("Heartbeat", {}),
            "StatusNotification": each(self._dialect.report_status),
            "MeterValues": each(self._meter_values),
            "TransactionEvent": each(lambda evse: self._dialect.sample(evse, "Trigger")),
        }

    def _meter_values(self, evse: Evse) -> None:
        value = meter_value_v2(self._hardware, evse, "Trigger")
        if value["sampledValue"]:
            self._hardware.tell("MeterValues", {"evseId": evse.number, "meterValue": [value]})

    def on_get_variables(self, payload: Payload) -> Reply:
        return Reply({"getVariableResult": [self._get(item) for item in payload["getVariableData"]]})

    def _get(self, item: Payload) -> Payload:
        answer = _echo(item)
        if item.get("attributeType", "Actual") != "Actual":
            return answer | {"attributeStatus": "NotSupportedAttributeType"}
        setting = self._hardware.configuration.settings.get(_key(item))
        if setting is None:
            return answer | {"attributeStatus": self._missing(item)}
        return answer | {"attributeStatus": "Accepted", "attributeValue": setting.value}

    def _missing(self, item: Payload) -> str:
        prefix = item["component"]["name"] + "."
        known = any(key.startswith(prefix) for key in self._hardware.configuration.settings)
        return "UnknownVariable" if known else "UnknownComponent"

    def on_set_variables(self, payload: Payload) -> Reply:
        return Reply({"setVariableResult": [self._set(item) for item in payload["setVariableData"]]})

    def _set(self, item: Payload) -> Payload:
        answer = _echo(item)
        if item.get("attributeType", "Actual") != "Actual":
            return answer | {"attributeStatus": "NotSupportedAttributeType"}
        status = self._hardware.configuration.change(_key(item), item["attributeValue"])
        return answer | {"attributeStatus": self._missing(item) if status == "Unknown" else status}

    def on_reset(self, payload: Payload) -> Reply:
        busy = [evse for evse in self._hardware.evses.values() if evse.session]
        if payload["type"] == "OnIdle" and busy:
            return Reply({"status": "Scheduled"}, lambda: self._reset_when_idle("ScheduledReset"))
        for evse in busy:
            self._dialect.end(evse, "ResetCommand", "ImmediateReset")
        return Reply(ACCEPTED, lambda: self._reset_when_idle("RemoteReset"))

    def _reset_when_idle(self, reason: str) -> None:
        self._dialect.reset_asked = reason
        self._hardware.changed()

    def on_data_transfer(self, payload: Payload) -> Reply:
        return Reply({"status": "UnknownVendorId"})


def _rejected(reason: str) -> Payload:
    return {"status": "Rejected", "statusInfo": {"reasonCode": reason[:20]}}


def _key(item: Payload) -> str:
    name = re.sub(r"\s", "", item["variable"]["name"])
    instance = item["variable"].get("instance")
    return f"{item['component']['name']}.{name}" + (f"[{instance}]" if instance else "")


def _echo(item: Payload) -> Payload:
    return {name: item[name] for name in ("attributeType", "component", "variable") if name in item}
