"""A station that speaks OCPP 1.6-J (edition 2 with errata)."""

from typing import Any

from simulators.cabinet import Bay, Cabinet, Grant, Payload, Session, charging_state
from simulators.dialect import answered_by, deadline
from simulators.metering import import_register_wh, meter_value_v16
from simulators.models import FIRMWARE, VENDOR
from simulators.rpc import Reply
from simulators.smart_charging import set_profile
from simulators.station_v16_calls import Calls16

NO_NUMBER = -1  # StartTransaction was never answered (S16E 3.18)


class Speech16:
    """The 1.6 side of a cabinet: what happens becomes messages, what is asked becomes deeds."""

    def __init__(self, cabinet: Cabinet) -> None:
        self._cabinet = cabinet
        self._calls = Calls16(cabinet, self)
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
        self.report_status(0, "Available")
        for bay in self._cabinet.bays.values():
            self.report_status(bay.number, bay.status)

    def plugged(self, bay: Bay) -> None:
        self._show(bay, "Preparing")
        if bay.grant:
            self._start(bay, bay.grant)

    def unplugged(self, bay: Bay) -> None:
        if bay.session:
            self.stop(bay, "EVDisconnected")
        bay.grant = None
        self._show(bay, "Available")

    def present(self, bay: Bay, token: str, token_type: str) -> None:
        """A card at the reader: starts, or stops what the same card started."""
        if bay.session and bay.session.grant:
            if bay.session.grant.token == token:
                self.stop(bay, "Local")
            return
        if bay.ev is None:
            self._show(bay, "Preparing")
        self.authorize(bay, Grant(token, token_type))

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
                self.stop(bay, reason)

    # --- flows

    def authorize(self, bay: Bay, grant: Grant) -> None:
        """Ask the CSMS about a token; offline only if unknown tokens may start."""
        if not self._cabinet.online:
            if self._cabinet.configuration.is_on("offline_unknown"):
                self.granted(bay, grant)
            return

        def answered(result: Payload | None) -> None:
            if result and result["idTagInfo"]["status"] == "Accepted":
                self.granted(bay, grant)

        self._cabinet.tell("Authorize", {"idTag": grant.token}, done=answered)

    def granted(self, bay: Bay, grant: Grant) -> None:
        """Start, or wait for the cable."""
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
        session = Session(cabinet.clock.now(), grant, authorized=not cabinet.online)
        cabinet.begin(bay, session)
        payload = {
            "connectorId": bay.number,
            "idTag": grant.token,
            "meterStart": import_register_wh(cabinet, bay),
            "timestamp": cabinet.stamp(),
        }
        cabinet.tell("StartTransaction", payload, kept=True, done=lambda r: self._started(bay, session, r))

    def _started(self, bay: Bay, session: Session, result: Payload | None) -> None:
        number = NO_NUMBER if result is None else result["transactionId"]
        session.transaction = str(NO_NUMBER if self._cabinet.behaviour.forgets_number else number)
        accepted = result is None or result["idTagInfo"]["status"] == "Accepted"
        if bay.session is not session:
            return
        if not accepted:
            session.authorized = False
            if self._cabinet.configuration.is_on("stop_invalid"):
                self.stop(bay, "DeAuthorized")
            return
        if session.grant and session.grant.profile:  # in force before anything flows
            set_profile(self._cabinet, session.grant.profile, bay.number)
        session.authorized = True

    def _follow(self, bay: Bay) -> None:
        state = charging_state(bay)
        at_zero = bay.obeyed_w == 0 and bay.wanted.limit_w is not None
        if at_zero and self._cabinet.behaviour.ends_at_zero:
            self.stop(bay, "Other")
        else:
            self._show(bay, state)

    def stop(self, bay: Bay, reason: str) -> None:
        """StopTransaction."""
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
            self.report_status(bay.number, status)
            self._cabinet.changed()

    def report_status(self, connector: int, status: str) -> None:
        """StatusNotification."""
        payload = {"connectorId": connector, "errorCode": "NoError", "status": status}
        self._cabinet.tell("StatusNotification", payload | {"timestamp": self._cabinet.stamp()})

    def handle(self, action: str, payload: Payload) -> Reply:
        """Answer a CALL. Raises CallError NotImplemented for what the station does not know."""
        return answered_by(self._calls, action, payload)


def _number_of(session: Session | None) -> dict[str, Any]:
    """The transaction id at the time of sending; absent outside transactions."""
    return {} if session is None else {"transactionId": int(session.transaction or NO_NUMBER)}
