"""What a CSMS asks of a 1.6 station."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulators.hardware import Evse, Grant, Hardware, Payload
from simulators.profile_rules import Named
from simulators.rpc import Reply
from simulators.smart_charging import clear_profiles, composite, set_profile, shown_limit

if TYPE_CHECKING:
    from simulators.station_v16 import Dialect16


class Calls16:
    """One method per action."""

    def __init__(self, hardware: Hardware, dialect: "Dialect16") -> None:
        self._hardware = hardware
        self._dialect = dialect

    def on_remote_start_transaction(self, payload: Payload) -> Reply:
        evse = self._hardware.evses.get(payload.get("connectorId", 1))
        if evse is None or evse.session or evse.grant or evse.status not in ("Available", "Preparing"):
            return Reply({"status": "Rejected"})
        grant = Grant(payload["idTag"], profile=payload.get("chargingProfile"))
        ask_first = self._hardware.configuration.is_on("authorize_remote")
        deed = self._dialect.authorize if ask_first else self._dialect.granted
        return Reply({"status": "Accepted"}, lambda: deed(evse, grant))

    def on_remote_stop_transaction(self, payload: Payload) -> Reply:
        number = str(payload["transactionId"])
        for evse in self._hardware.evses.values():
            if evse.session and evse.session.transaction == number:
                return Reply({"status": "Accepted"}, self._stopping(evse))
        return Reply({"status": "Rejected"})

    def _stopping(self, evse: Evse) -> Callable[[], None]:
        return lambda: self._dialect.stop(evse, "Remote")

    def on_set_charging_profile(self, payload: Payload) -> Reply:
        reason = set_profile(self._hardware, payload["csChargingProfiles"], payload["connectorId"])
        return Reply({"status": "Rejected" if reason else "Accepted"})

    def on_clear_charging_profile(self, payload: Payload) -> Reply:
        status = clear_profiles(
            self._hardware,
            Named(
                profile=payload.get("id"),
                evse=payload.get("connectorId"),
                purpose=payload.get("chargingProfilePurpose"),
                level=payload.get("stackLevel"),
            ),
        )
        return Reply({"status": status})

    def on_get_composite_schedule(self, payload: Payload) -> Reply:
        evse = self._hardware.evses.get(payload["connectorId"] or 1)
        if evse is None:
            return Reply({"status": "Rejected"})
        unit = payload.get("chargingRateUnit", "W")
        periods = [
            {"startPeriod": start, "limit": shown_limit(evse, wanted, unit)}
            for start, wanted in composite(self._hardware, evse, payload["duration"])
        ]
        plan = {"duration": payload["duration"], "chargingRateUnit": unit, "chargingSchedulePeriod": periods}
        now = self._hardware.stamp()
        return Reply(
            {"status": "Accepted", "connectorId": payload["connectorId"], "scheduleStart": now}
            | {"chargingSchedule": plan | {"startSchedule": now}}
        )

    def on_trigger_message(self, payload: Payload) -> Reply:
        deeds = {
            "BootNotification": lambda: self._hardware.tell(*self._dialect.boot("Triggered")),
            "Heartbeat": lambda: self._hardware.tell("Heartbeat", {}),
            "StatusNotification": lambda: self._trigger_status(payload.get("connectorId")),
            "MeterValues": lambda: self._trigger_meter(payload.get("connectorId")),
        }
        deed = deeds.get(payload["requestedMessage"])
        if payload.get("connectorId", 0) not in (0, *self._hardware.evses):
            return Reply({"status": "Rejected"})
        return Reply({"status": "Accepted"}, deed) if deed else Reply({"status": "NotImplemented"})

    def _trigger_status(self, connector: int | None) -> None:
        if not connector:
            self._dialect.all_statuses()
        else:
            self._dialect.report_status(connector, self._hardware.evses[connector].status)

    def _trigger_meter(self, connector: int | None) -> None:
        for evse in self._hardware.evses.values():
            if connector in (None, 0, evse.number):
                self._dialect.sample(evse, "Trigger")

    def on_get_configuration(self, payload: Payload) -> Reply:
        settings = self._hardware.configuration.settings
        asked = payload.get("key") or list(settings)
        known = [
            {"key": key, "readonly": settings[key].readonly, "value": settings[key].value}
            for key in asked
            if key in settings
        ]
        return Reply({"configurationKey": known, "unknownKey": [key for key in asked if key not in settings]})

    def on_change_configuration(self, payload: Payload) -> Reply:
        status = self._hardware.configuration.change(payload["key"], payload["value"])
        return Reply({"status": "NotSupported" if status == "Unknown" else status})

    def on_reset(self, payload: Payload) -> Reply:
        self._dialect.stop_all(f"{payload['type']}Reset")

        def ask() -> None:
            self._dialect.reset_asked = "RemoteReset"
            self._hardware.changed()

        return Reply({"status": "Accepted"}, ask)

    def on_data_transfer(self, payload: Payload) -> Reply:
        return Reply({"status": "UnknownVendorId"})
