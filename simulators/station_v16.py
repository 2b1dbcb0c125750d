"""A station that speaks OCPP 1.6-J (edition 2 with errata)."""

from typing import Any

from simulators.dialect import answered_by, deadline
from simulators.hardware import Evse, Grant, Hardware, Payload, Session, charging_state
from simulators.metering import import_register_wh, meter_value_v16
from simulators.models import FIRMWARE, VENDOR
from simulators.rpc import Reply
from simulators.smart_charging import set_profile
from simulators.station_v16_calls import Calls16

NO_NUMBER = -1  # StartTransaction was never answered (S16E 3.18)


class Dialect16:
    """The 1.6 side of a hardware: what happens becomes messages, what is asked becomes deeds."""

    def __init__(self, hardware: Hardware) -> None:
        self._hardware = hardware
        self._calls = Calls16(hardware, self)
        self.reset_asked = ""

    # --- what happens at the station

    def boot(self, reason: str) -> tuple[str, Payload]:
        """BootNotification; 1.6 gives no reason."""
        spec = self._hardware.spec
        payload = {
            "chargePointVendor": VENDOR,
            "chargePointModel": spec.model.name,
            "chargePointSerialNumber": spec.id[:25],
            "firmwareVersion": FIRMWARE,
        }
        return "BootNotification", payload

    def all_statuses(self) -> None:
        """The station itself (connector 0) and every connector."""
        self.report_status(0, "Available")
        for evse in self._hardware.evses.values():
            self.report_status(evse.number, evse.status)

    def plugged(self, evse: Evse) -> None:
        self._show(evse, "Preparing")
        if evse.grant:
            self._start(evse, evse.grant)

    def unplugged(self, evse: Evse) -> None:
        if evse.session:
            self.stop(evse, "EVDisconnected")
        evse.grant = None
        self._show(evse, "Available")

    def present(self, evse: Evse, token: str, token_type: str) -> None:
        """A card at the reader: starts, or stops what the same card started."""
        if evse.session and evse.session.grant:
            if evse.session.grant.token == token:
                self.stop(evse, "Local")
            return
        if evse.ev is None:
            self._show(evse, "Preparing")
        self.authorize(evse, Grant(token, token_type))

    def tick(self, evse: Evse) -> None:
        """Once per tick: states, time-outs, limits that end a transaction."""
        now = self._hardware.clock.now()
        if evse.session and evse.may_flow:
            self._follow(evse)
        elif evse.grant and evse.grant.until and now >= evse.grant.until and evse.ev is None:
            evse.grant = None
            self._show(evse, "Available")
        elif evse.status == "Preparing" and evse.plugged_at and now >= deadline(self._hardware, evse.plugged_at):
            self._show(evse, "Finishing")

    def sample(self, evse: Evse, context: str = "Sample.Periodic") -> None:
        session, value = evse.session, meter_value_v16(self._hardware, evse, context)
        if not value["sampledValue"]:
            return
        number = {"connectorId": evse.number, "meterValue": [value]}
        self._hardware.tell("MeterValues", lambda: number | _number_of(session), kept=session is not None)

    def stop_all(self, reason: str) -> None:
        """End every transaction, as before a reset."""
        for evse in self._hardware.evses.values():
            if evse.session:
                self.stop(evse, reason)

    # --- flows

    def authorize(self, evse: Evse, grant: Grant) -> None:
        """Ask the CSMS about a token; offline only if unknown tokens may start."""
        if not self._hardware.online:
            if self._hardware.configuration.is_on("offline_unknown"):
                self.granted(evse, grant)
            return

        def answered(result: Payload | None) -> None:
            if result and result["idTagInfo"]["status"] == "Accepted":
                self.granted(evse, grant)

        self._hardware.tell("Authorize", {"idTag": grant.token}, done=answered)

    def granted(self, evse: Evse, grant: Grant) -> None:
        """Start, or wait for the cable."""
        if evse.session:
            return
        if evse.ev is not None:
            self._start(evse, grant)
        else:
            grant.until = deadline(self._hardware, self._hardware.clock.now())
            evse.grant = grant
            self._show(evse, "Preparing")

    def _start(self, evse: Evse, grant: Grant) -> None:
        hardware, evse.grant = self._hardware, None
        session = Session(hardware.clock.now(), grant, authorized=not hardware.online)
        hardware.begin(evse, session)
        payload = {
            "connectorId": evse.number,
            "idTag": grant.token,
            "meterStart": import_register_wh(hardware, evse),
            "timestamp": hardware.stamp(),
        }
        hardware.tell("StartTransaction", payload, kept=True, done=lambda r: self._started(evse, session, r))

    def _started(self, evse: Evse, session: Session, result: Payload | None) -> None:
        number = NO_NUMBER if result is None else result["transactionId"]
        session.transaction = str(NO_NUMBER if self._hardware.behaviour.forgets_number else number)
        accepted = result is None or result["idTagInfo"]["status"] == "Accepted"
        if evse.session is not session:
            return
        if not accepted:
            session.authorized = False
            if self._hardware.configuration.is_on("stop_invalid"):
                self.stop(evse, "DeAuthorized")
            return
        if session.grant and session.grant.profile:  # in force before anything flows
            set_profile(self._hardware, session.grant.profile, evse.number)
        session.authorized = True

    def _follow(self, evse: Evse) -> None:
        state = charging_state(evse)
        at_zero = evse.obeyed_w == 0 and evse.wanted.limit_w is not None
        if at_zero and self._hardware.behaviour.ends_at_zero:
            self.stop(evse, "Other")
        else:
            self._show(evse, state)

    def stop(self, evse: Evse, reason: str) -> None:
        """StopTransaction."""
        session, evse.session = evse.session, None
        hardware = self._hardware
        payload = {
            "meterStop": import_register_wh(hardware, evse),
            "timestamp": hardware.stamp(),
            "reason": reason,
            "transactionData": [meter_value_v16(hardware, evse, "Transaction.End")],
        }
        hardware.tell("StopTransaction", lambda: payload | _number_of(session), kept=True)
        hardware.end_profiles(evse)
        if evse.ev is not None:
            self._show(evse, "Finishing")

    def _show(self, evse: Evse, status: str) -> None:
        if evse.status != status:
            evse.status = status
            self.report_status(evse.number, status)
            self._hardware.changed()

    def report_status(self, connector: int, status: str) -> None:
        """StatusNotification."""
        payload = {"connectorId": connector, "errorCode": "NoError", "status": status}
        self._hardware.tell("StatusNotification", payload | {"timestamp": self._hardware.stamp()})

    def handle(self, action: str, payload: Payload) -> Reply:
        """Answer a CALL. Raises CallError NotImplemented for what the station does not know."""
        return answered_by(self._calls, action, payload)


def _number_of(session: Session | None) -> dict[str, Any]:
    """The transaction id at the time of sending; absent outside transactions."""
    return {} if session is None else {"transactionId": int(session.transaction or NO_NUMBER)}
