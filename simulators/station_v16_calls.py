"""What a CSMS asks of a 1.6 station."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulators.cabinet import Bay, Cabinet, Grant, Payload
from simulators.profile_rules import Named
from simulators.rpc import Reply
from simulators.smart_charging import clear_profiles, composite, set_profile, shown_limit

if TYPE_CHECKING:
    from simulators.station_v16 import Speech16


class Calls16:
    """One method per action."""

    def __init__(self, cabinet: Cabinet, speech: "Speech16") -> None:
        self._cabinet = cabinet
        self._speech = speech

    def on_remote_start_transaction(self, payload: Payload) -> Reply:
        bay = self._cabinet.bays.get(payload.get("connectorId", 1))
        if bay is None or bay.session or bay.grant or bay.status not in ("Available", "Preparing"):
            return Reply({"status": "Rejected"})
        grant = Grant(payload["idTag"], profile=payload.get("chargingProfile"))
        ask_first = self._cabinet.configuration.is_on("authorize_remote")
        deed = self._speech.authorize if ask_first else self._speech.granted
        return Reply({"status": "Accepted"}, lambda: deed(bay, grant))

    def on_remote_stop_transaction(self, payload: Payload) -> Reply:
        number = str(payload["transactionId"])
        for bay in self._cabinet.bays.values():
            if bay.session and bay.session.transaction == number:
                return Reply({"status": "Accepted"}, self._stopping(bay))
        return Reply({"status": "Rejected"})

    def _stopping(self, bay: Bay) -> Callable[[], None]:
        return lambda: self._speech.stop(bay, "Remote")

    def on_set_charging_profile(self, payload: Payload) -> Reply:
        reason = set_profile(self._cabinet, payload["csChargingProfiles"], payload["connectorId"])
        return Reply({"status": "Rejected" if reason else "Accepted"})

    def on_clear_charging_profile(self, payload: Payload) -> Reply:
        status = clear_profiles(
            self._cabinet,
            Named(
                profile=payload.get("id"),
                evse=payload.get("connectorId"),
                purpose=payload.get("chargingProfilePurpose"),
                level=payload.get("stackLevel"),
            ),
        )
        return Reply({"status": status})

    def on_get_composite_schedule(self, payload: Payload) -> Reply:
        bay = self._cabinet.bays.get(payload["connectorId"] or 1)
        if bay is None:
            return Reply({"status": "Rejected"})
        unit = payload.get("chargingRateUnit", "W")
        periods = [
            {"startPeriod": start, "limit": shown_limit(bay, wanted, unit)}
            for start, wanted in composite(self._cabinet, bay, payload["duration"])
        ]
        plan = {"duration": payload["duration"], "chargingRateUnit": unit, "chargingSchedulePeriod": periods}
        now = self._cabinet.stamp()
        return Reply(
            {"status": "Accepted", "connectorId": payload["connectorId"], "scheduleStart": now}
            | {"chargingSchedule": plan | {"startSchedule": now}}
        )

    def on_trigger_message(self, payload: Payload) -> Reply:
        deeds = {
            "BootNotification": lambda: self._cabinet.tell(*self._speech.boot("Triggered")),
            "Heartbeat": lambda: self._cabinet.tell("Heartbeat", {}),
            "StatusNotification": lambda: self._trigger_status(payload.get("connectorId")),
            "MeterValues": lambda: self._trigger_meter(payload.get("connectorId")),
        }
        deed = deeds.get(payload["requestedMessage"])
        if payload.get("connectorId", 0) not in (0, *self._cabinet.bays):
            return Reply({"status": "Rejected"})
        return Reply({"status": "Accepted"}, deed) if deed else Reply({"status": "NotImplemented"})

    def _trigger_status(self, connector: int | None) -> None:
        if not connector:
            self._speech.all_statuses()
        else:
            self._speech.report_status(connector, self._cabinet.bays[connector].status)

    def _trigger_meter(self, connector: int | None) -> None:
        for bay in self._cabinet.bays.values():
            if connector in (None, 0, bay.number):
                self._speech.sample(bay, "Trigger")

    def on_get_configuration(self, payload: Payload) -> Reply:
        settings = self._cabinet.configuration.settings
        asked = payload.get("key") or list(settings)
        known = [
            {"key": key, "readonly": settings[key].readonly, "value": settings[key].value}
            for key in asked
            if key in settings
        ]
        return Reply({"configurationKey": known, "unknownKey": [key for key in asked if key not in settings]})

    def on_change_configuration(self, payload: Payload) -> Reply:
        status = self._cabinet.configuration.change(payload["key"], payload["value"])
        return Reply({"status": "NotSupported" if status == "Unknown" else status})

    def on_reset(self, payload: Payload) -> Reply:
        self._speech.stop_all(f"{payload['type']}Reset")

        def ask() -> None:
            self._speech.reset_asked = "RemoteReset"
            self._cabinet.changed()

        return Reply({"status": "Accepted"}, ask)

    def on_data_transfer(self, payload: Payload) -> Reply:
        return Reply({"status": "UnknownVendorId"})
