"""What a CSMS asks of a 2.x station."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulators.cabinet import Bay, Cabinet, Grant, Payload
from simulators.metering import meter_value_v2
from simulators.profile_rules import Named
from simulators.profiles import Demand
from simulators.rpc import Reply
from simulators.smart_charging import clear_profiles, composite, set_profile, shown_limit, update_dynamic

if TYPE_CHECKING:
    from simulators.station_v2 import Speech2

ACCEPTED: Payload = {"status": "Accepted"}


class Calls2:
    """One method per action."""

    def __init__(self, cabinet: Cabinet, speech: "Speech2") -> None:
        self._cabinet = cabinet
        self._speech = speech

    def on_request_start_transaction(self, payload: Payload) -> Reply:
        bay = self._cabinet.bays.get(payload.get("evseId", 1))
        if bay is None or bay.grant or (bay.session and bay.session.authorized):
            return Reply(_rejected("TxInProgress" if bay else "UnknownEvse"))
        token = payload["idToken"]
        grant = Grant(token["idToken"], token["type"], payload["remoteStartId"], payload.get("chargingProfile"))
        ask_first = self._cabinet.configuration.is_on("authorize_remote")
        deed = self._speech.authorize if ask_first else self._speech.granted
        known = {"transactionId": bay.session.transaction} if bay.session else {}  # F01.FR.13
        return Reply(ACCEPTED | known, lambda: deed(bay, grant))

    def on_request_stop_transaction(self, payload: Payload) -> Reply:
        for bay in self._cabinet.bays.values():
            if bay.session and bay.session.transaction == payload["transactionId"]:
                return Reply(ACCEPTED, self._ending(bay, "RemoteStop", "Remote"))
        return Reply(_rejected("TxNotFound"))

    def _ending(self, bay: Bay, trigger: str, reason: str) -> Callable[[], None]:
        return lambda: self._speech.end(bay, trigger, reason)

    def on_set_charging_profile(self, payload: Payload) -> Reply:
        reason = set_profile(self._cabinet, payload["chargingProfile"], payload["evseId"])
        return Reply(_rejected(reason) if reason else ACCEPTED)

    def on_update_dynamic_schedule(self, payload: Payload) -> Reply:
        reason = update_dynamic(self._cabinet, payload["chargingProfileId"], payload["scheduleUpdate"])
        return Reply(_rejected(reason) if reason else ACCEPTED)

    def on_clear_charging_profile(self, payload: Payload) -> Reply:
        named = payload.get("chargingProfileCriteria", {})
        status = clear_profiles(
            self._cabinet,
            Named(
                profile=payload.get("chargingProfileId"),
                evse=named.get("evseId"),
                purpose=named.get("chargingProfilePurpose"),
                level=named.get("stackLevel"),
            ),
        )
        return Reply({"status": status})

    def on_get_composite_schedule(self, payload: Payload) -> Reply:
        bay = self._cabinet.bays.get(payload["evseId"] or 1)
        if bay is None:
            return Reply(_rejected("UnknownEvse"))
        unit = payload.get("chargingRateUnit", "W")
        periods = [
            {"startPeriod": start} | self._composite_period(bay, wanted, unit)
            for start, wanted in composite(self._cabinet, bay, payload["duration"])
        ]
        schedule = {
            "evseId": payload["evseId"],
            "duration": payload["duration"],
            "scheduleStart": self._cabinet.stamp(),
            "chargingRateUnit": unit,
            "chargingSchedulePeriod": periods,
        }
        return Reply(ACCEPTED | {"schedule": schedule})

    def _composite_period(self, bay: Bay, wanted: Demand, unit: str) -> Payload:
        power = shown_limit(bay, wanted, unit)
        if not self._speech.is_v21 or wanted.setpoint_w is None:
            return {"limit": power}
        return {"operationMode": wanted.mode} | ({} if wanted.mode == "Idle" else {"setpoint": power})

    def on_trigger_message(self, payload: Payload) -> Reply:
        evse = payload.get("evse", {}).get("id", 0)
        if evse not in (0, *self._cabinet.bays):
            return Reply(_rejected("UnknownEvse"))
        bays = [bay for bay in self._cabinet.bays.values() if evse in (0, bay.number)]
        deed = self._deeds(bays).get(payload["requestedMessage"])
        return Reply(ACCEPTED, deed) if deed else Reply({"status": "NotImplemented"})

    def _deeds(self, bays: list[Bay]) -> dict[str, Callable[[], None]]:
        def each(act: Callable[[Bay], None]) -> Callable[[], None]:
            def act_on_all() -> None:
                for bay in bays:
                    act(bay)

            return act_on_all

        return {
            "BootNotification": lambda: self._cabinet.tell(*self._speech.boot("Triggered")),
            "Heartbeat": lambda: self._cabinet.tell("Heartbeat", {}),
            "StatusNotification": each(self._speech.report_status),
            "MeterValues": each(self._meter_values),
            "TransactionEvent": each(lambda bay: self._speech.sample(bay, "Trigger")),
        }

    def _meter_values(self, bay: Bay) -> None:
        value = meter_value_v2(self._cabinet, bay, "Trigger")
        if value["sampledValue"]:
            self._cabinet.tell("MeterValues", {"evseId": bay.number, "meterValue": [value]})

    def on_get_variables(self, payload: Payload) -> Reply:
        return Reply({"getVariableResult": [self._get(item) for item in payload["getVariableData"]]})

    def _get(self, item: Payload) -> Payload:
        answer = _echo(item)
        if item.get("attributeType", "Actual") != "Actual":
            return answer | {"attributeStatus": "NotSupportedAttributeType"}
        setting = self._cabinet.configuration.settings.get(_key(item))
        if setting is None:
            return answer | {"attributeStatus": self._missing(item)}
        return answer | {"attributeStatus": "Accepted", "attributeValue": setting.value}

    def _missing(self, item: Payload) -> str:
        prefix = item["component"]["name"] + "."
        known = any(key.startswith(prefix) for key in self._cabinet.configuration.settings)
        return "UnknownVariable" if known else "UnknownComponent"

    def on_set_variables(self, payload: Payload) -> Reply:
        return Reply({"setVariableResult": [self._set(item) for item in payload["setVariableData"]]})

    def _set(self, item: Payload) -> Payload:
        answer = _echo(item)
        if item.get("attributeType", "Actual") != "Actual":
            return answer | {"attributeStatus": "NotSupportedAttributeType"}
        status = self._cabinet.configuration.change(_key(item), item["attributeValue"])
        return answer | {"attributeStatus": self._missing(item) if status == "Unknown" else status}

    def on_reset(self, payload: Payload) -> Reply:
        busy = [bay for bay in self._cabinet.bays.values() if bay.session]
        if payload["type"] == "OnIdle" and busy:
            return Reply({"status": "Scheduled"}, lambda: self._reset_when_idle("ScheduledReset"))
        for bay in busy:
            self._speech.end(bay, "ResetCommand", "ImmediateReset")
        return Reply(ACCEPTED, lambda: self._reset_when_idle("RemoteReset"))

    def _reset_when_idle(self, reason: str) -> None:
        self._speech.reset_asked = reason
        self._cabinet.changed()

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
