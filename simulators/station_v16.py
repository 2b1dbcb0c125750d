"""A station that speaks OCPP 1.6-J (edition 2 with errata)."""

from typing import Any

from simulators.cabinet import Bay, Cabinet, Grant, Payload, Session, charging_state
from simulators.dialect import answered_by, deadline
from simulators.metering import import_register_wh, meter_value_v16
from simulators.models import FIRMWARE, VENDOR
from simulators.rpc import Reply
from simulators.smart_charging import clear_profiles, composite, set_profile, shown_limit

NO_NUMBER = -1  # StartTransaction was never answered (S16E 3.18)


class Speech16:
    """The 1.6 side of a cabinet: what happens becomes messages, what is asked becomes deeds."""

    def __init__(self, cabinet: Cabinet) -> None:
        self._cabinet = cabinet
        self.reset_asked = ""

    # --- what happens at the station

    def boot(self, reason: str) -> tuple[str, Payload]:
        """BootNotification; 1.6 gives no reason."""
        spec = self._cabinet.spec
        payload = {
            "chargePointVendor": VENDOR,
            "chargePointModel": spec.model.name,
            "chargePointSerialNumber": spec.id[:25],
            "firmwareVersion": FIRMWARE,
        }
        return "BootNotification", payload

    def all_statuses(self) -> None:
        """The station itself (connector 0) and every connector."""
        self._status_message(0, "Available")
        for bay in self._cabinet.bays.values():
            self._status_message(bay.number, bay.status)

    def plugged(self, bay: Bay) -> None:
        self._show(bay, "Preparing")
        if bay.grant:
            self._start(bay, bay.grant)

    def unplugged(self, bay: Bay) -> None:
        if bay.session:
            self._stop(bay, "EVDisconnected")
        bay.grant = None
        self._show(bay, "Available")

    def present(self, bay: Bay, token: str, token_type: str) -> None:
        """A card at the reader: starts, or stops what the same card started."""
        if bay.session and bay.session.grant:
            if bay.session.grant.token == token:
                self._stop(bay, "Local")
            return
        if bay.ev is None:
            self._show(bay, "Preparing")
        self._authorize(bay, Grant(token, token_type))

    def tick(self, bay: Bay) -> None:
        """Once per tick: states, time-outs, limits that end a transaction."""
        now = self._cabinet.clock.now()
        if bay.session and bay.may_flow:
            self._follow(bay)
        elif bay.grant and bay.grant.until and now >= bay.grant.until and bay.ev is None:
            bay.grant = None
            self._show(bay, "Available")
        elif bay.status == "Preparing" and bay.plugged_at and now >= deadline(self._cabinet, bay.plugged_at):
            self._show(bay, "Finishing")

    def sample(self, bay: Bay, context: str = "Sample.Periodic") -> None:
        session, value = bay.session, meter_value_v16(self._cabinet, bay, context)
        if not value["sampledValue"]:
            return
        number = {"connectorId": bay.number, "meterValue": [value]}
        self._cabinet.tell("MeterValues", lambda: number | _number_of(session), kept=session is not None)

    def stop_all(self, reason: str) -> None:
        """End every transaction, as before a reset."""
        for bay in self._cabinet.bays.values():
            if bay.session:
                self._stop(bay, reason)

    # --- flows

    def _authorize(self, bay: Bay, grant: Grant) -> None:
        if not self._cabinet.online:
            if self._cabinet.configuration.is_on("offline_unknown"):
                self._granted(bay, grant)
            return

        def answered(result: Payload | None) -> None:
            if result and result["idTagInfo"]["status"] == "Accepted":
                self._granted(bay, grant)

        self._cabinet.tell("Authorize", {"idTag": grant.token}, done=answered)

    def _granted(self, bay: Bay, grant: Grant) -> None:
        if bay.session:
            return
        if bay.ev is not None:
            self._start(bay, grant)
        else:
            grant.until = deadline(self._cabinet, self._cabinet.clock.now())
            bay.grant = grant
            self._show(bay, "Preparing")

    def _start(self, bay: Bay, grant: Grant) -> None:
        cabinet, bay.grant = self._cabinet, None
        session = bay.session = Session(cabinet.clock.now(), grant, authorized=not cabinet.online)
        bay.next_sample_at = None
        payload = {
            "connectorId": bay.number,
            "idTag": grant.token,
            "meterStart": import_register_wh(cabinet, bay),
            "timestamp": cabinet.stamp(),
        }
        cabinet.tell("StartTransaction", payload, kept=True, done=lambda r: self._started(bay, session, r))

    def _started(self, bay: Bay, session: Session, result: Payload | None) -> None:
        session.transaction = str(result["transactionId"]) if result else str(NO_NUMBER)
        accepted = result is None or result["idTagInfo"]["status"] == "Accepted"
        if bay.session is not session:
            return
        if not accepted:
            session.authorized = False
            if self._cabinet.configuration.is_on("stop_invalid"):
                self._stop(bay, "DeAuthorized")
            return
        session.authorized = True
        if session.grant and session.grant.profile:
            set_profile(self._cabinet, session.grant.profile, bay.number)

    def _follow(self, bay: Bay) -> None:
        state = charging_state(bay)
        at_zero = bay.obeyed_w == 0 and bay.wanted.limit_w is not None
        if at_zero and self._cabinet.behaviour.ends_at_zero:
            self._stop(bay, "Other")
        else:
            self._show(bay, state)

    def _stop(self, bay: Bay, reason: str) -> None:
        session, bay.session = bay.session, None
        cabinet = self._cabinet
        payload = {
            "meterStop": import_register_wh(cabinet, bay),
            "timestamp": cabinet.stamp(),
            "reason": reason,
            "transactionData": [meter_value_v16(cabinet, bay, "Transaction.End")],
        }
        cabinet.tell("StopTransaction", lambda: payload | _number_of(session), kept=True)
        cabinet.end_profiles(bay)
        if bay.ev is not None:
            self._show(bay, "Finishing")

    def _show(self, bay: Bay, status: str) -> None:
        if bay.status != status:
            bay.status = status
            self._status_message(bay.number, status)
            self._cabinet.changed()

    def _status_message(self, connector: int, status: str) -> None:
        payload = {"connectorId": connector, "errorCode": "NoError", "status": status}
        self._cabinet.tell("StatusNotification", payload | {"timestamp": self._cabinet.stamp()})

    # --- what the CSMS asks

    def handle(self, action: str, payload: Payload) -> Reply:
        """Answer a CALL. Raises CallError NotImplemented for what the station does not know."""
        return answered_by(self, action, payload)

    def on_remote_start_transaction(self, payload: Payload) -> Reply:
        bay = self._cabinet.bays.get(payload.get("connectorId", 1))
        if bay is None or bay.session or bay.grant or bay.status not in ("Available", "Preparing"):
            return Reply({"status": "Rejected"})
        grant = Grant(payload["idTag"], profile=payload.get("chargingProfile"))
        ask_first = self._cabinet.configuration.is_on("authorize_remote")
        deed = self._authorize if ask_first else self._granted
        return Reply({"status": "Accepted"}, lambda: deed(bay, grant))

    def on_remote_stop_transaction(self, payload: Payload) -> Reply:
        number = str(payload["transactionId"])
        for bay in self._cabinet.bays.values():
            if bay.session and bay.session.transaction == number:
                return Reply({"status": "Accepted"}, lambda bay=bay: self._stop(bay, "Remote"))  # type: ignore[misc]
        return Reply({"status": "Rejected"})

    def on_set_charging_profile(self, payload: Payload) -> Reply:
        reason = set_profile(self._cabinet, payload["csChargingProfiles"], payload["connectorId"])
        return Reply({"status": "Rejected" if reason else "Accepted"})

    def on_clear_charging_profile(self, payload: Payload) -> Reply:
        status = clear_profiles(
            self._cabinet,
            id=payload.get("id"),
            evse=payload.get("connectorId"),
            purpose=payload.get("chargingProfilePurpose"),
            level=payload.get("stackLevel"),
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
            "BootNotification": lambda: self._cabinet.tell(*self.boot("Triggered")),
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
            self.all_statuses()
        else:
            self._status_message(connector, self._cabinet.bays[connector].status)

    def _trigger_meter(self, connector: int | None) -> None:
        for bay in self._cabinet.bays.values():
            if connector in (None, 0, bay.number):
                self.sample(bay, "Trigger")

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
        self.stop_all(f"{payload['type']}Reset")

        def ask() -> None:
            self.reset_asked = "RemoteReset"
            self._cabinet.changed()

        return Reply({"status": "Accepted"}, ask)

    def on_data_transfer(self, payload: Payload) -> Reply:
        return Reply({"status": "UnknownVendorId"})


def _number_of(session: Session | None) -> dict[str, Any]:
    """The transaction id at the time of sending; absent outside transactions."""
    return {} if session is None else {"transactionId": int(session.transaction or NO_NUMBER)}
