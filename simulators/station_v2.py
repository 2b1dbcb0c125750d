"""A station that speaks OCPP 2.0.1 or 2.1: what happens to it. What it is asked: ``station_v2_calls``."""

import uuid

from simulators.dialect import answered_by, deadline
from simulators.hardware import Evse, Grant, Hardware, Payload, Session, charging_state
from simulators.metering import meter_value_v2
from simulators.models import FIRMWARE, V21, VENDOR
from simulators.needs import charging_needs, speaks_20
from simulators.rpc import Reply
from simulators.smart_charging import set_profile
from simulators.station_v2_calls import Calls2


class Dialect2:
    """The 2.x side of a hardware."""

    def __init__(self, hardware: Hardware) -> None:
        self._hardware = hardware
        self._calls = Calls2(hardware, self)
        self._events = 0
        self.reset_asked = ""
        self.is_v21 = hardware.spec.model.version == V21

    # --- what happens at the station

    def boot(self, reason: str) -> tuple[str, Payload]:
        """BootNotification."""
        spec = self._hardware.spec
        station = {"vendorName": VENDOR, "model": spec.model.name, "serialNumber": spec.id[:25]}
        return "BootNotification", {"reason": reason, "chargingStation": station | {"firmwareVersion": FIRMWARE}}

    def all_statuses(self) -> None:
        for evse in self._hardware.evses.values():
            self.report_status(evse)

    def plugged(self, evse: Evse) -> None:
        self._show(evse, "Occupied")
        if evse.session:
            self._enter(evse, evse.session, "EVConnected", "CablePluggedIn")
            if evse.session.authorized:
                self._tell_needs(evse)
        elif self._starts_at("EVConnected"):
            self._begin(evse, "CablePluggedIn")
        if evse.grant:
            grant, evse.grant = evse.grant, None
            self.granted(evse, grant)

    def unplugged(self, evse: Evse) -> None:
        if evse.session:
            self.end(evse, "EVDeparted", "EVDisconnected")
        evse.grant = None
        self._show(evse, "Available")

    def present(self, evse: Evse, token: str, token_type: str) -> None:
        """A card at the reader: starts, or stops what the same card started."""
        if evse.session and evse.session.grant and evse.session.authorized:
            if evse.session.grant.token == token:
                self.end(evse, "StopAuthorized", "Local")
            return
        self.authorize(evse, Grant(token, token_type))

    def tick(self, evse: Evse) -> None:
        """Once per tick: states, modes, time-outs, limits that end a transaction."""
        now = self._hardware.clock.now()
        if evse.session and evse.may_flow:
            self._follow(evse, evse.session)
        elif evse.grant and evse.grant.until and now >= evse.grant.until:
            evse.grant = None
        elif evse.session and evse.ev is None and now >= deadline(self._hardware, evse.session.started_at):
            self.end(evse, "EVConnectTimeout", "Timeout")

    def sample(self, evse: Evse, context: str = "Sample.Periodic") -> None:
        trigger = "Trigger" if context == "Trigger" else "MeterValuePeriodic"
        if evse.session:
            self.event(evse, evse.session, "Updated", trigger, context=context)

    # --- flows

    def authorize(self, evse: Evse, grant: Grant) -> None:
        """Ask the CSMS about a token; offline only if unknown tokens may start."""
        if not self._hardware.online:
            if self._hardware.configuration.is_on("offline_unknown"):
                self.granted(evse, grant)
            return

        def answered(result: Payload | None) -> None:
            if result and result["idTokenInfo"]["status"] == "Accepted":
                self.granted(evse, grant)

        self._hardware.tell("Authorize", {"idToken": _token(grant)}, done=answered)

    def granted(self, evse: Evse, grant: Grant) -> None:
        """Begin or authorize the transaction, or wait for the cable."""
        session = evse.session
        if session and session.authorized:
            return
        if session is None and evse.ev is None and not self._starts_at("Authorized"):
            grant.until = deadline(self._hardware, self._hardware.clock.now())
            evse.grant = grant
            return
        trigger = "Authorized" if grant.remote_start_id is None else "RemoteStart"
        if session is None:
            session = self._begin(evse, trigger, grant)
        else:
            self._allow(evse, session, grant)
            self.event(evse, session, "Updated", trigger, token=grant)
        if evse.ev is not None:
            self._tell_needs(evse)

    def _allow(self, evse: Evse, session: Session, grant: Grant) -> None:
        """Energy may flow, within the profile that came with the request."""
        if grant.profile:
            set_profile(self._hardware, grant.profile, evse.number)
        session.grant, session.authorized = grant, True

    def _starts_at(self, point: str) -> bool:
        return point in self._hardware.configuration.text("start_point").split(",")

    def _begin(self, evse: Evse, trigger: str, grant: Grant | None = None) -> Session:
        number = str(uuid.UUID(int=self._hardware.random.getrandbits(128), version=4))
        session = Session(self._hardware.clock.now(), transaction=number)
        session.state = "EVConnected" if evse.ev else "Idle"
        self._hardware.begin(evse, session)
        if grant:
            self._allow(evse, session, grant)
        self.event(evse, session, "Started", trigger, context="Transaction.Begin", token=grant)
        return session

    def _tell_needs(self, evse: Evse) -> None:
        """NotifyEVChargingNeeds of a vehicle that can discharge (K15, Q01).

        Rejected refuses its energy transfer type, and ends the transaction, in ISO 15118-20 only; in 15118-2 it says
        that there is no schedule (K15.FR.04, K19.FR.04, V2G-13)."""
        if not self._hardware.spec.model.discharges or evse.ev is None:
            return
        session, needs = evse.session, charging_needs(self._hardware, evse, evse.ev, is_v21=self.is_v21)

        def answered(result: Payload | None) -> None:
            refused = result is not None and result["status"] == "Rejected" and speaks_20(needs)
            if refused and evse.session is session and session is not None:
                self.end(evse, "AbnormalCondition", "ReqEnergyTransferRejected")

        self._hardware.tell("NotifyEVChargingNeeds", needs, done=answered)

    def _follow(self, evse: Evse, session: Session) -> None:
        at_zero = evse.obeyed_w == 0 and evse.wanted.limit_w is not None
        if at_zero and self._hardware.behaviour.ends_at_zero:
            self.end(evse, "AbnormalCondition", "Other")
            return
        if self.is_v21 and evse.wanted.mode != session.mode:
            session.mode = evse.wanted.mode
            self.event(evse, session, "Updated", "OperationModeChanged")  # K01.FR.110
        self._enter(evse, session, charging_state(evse), "ChargingStateChanged")

    def _enter(self, evse: Evse, session: Session, state: str, trigger: str) -> None:
        if session.state != state:
            session.state = state
            self.event(evse, session, "Updated", trigger, context="Other")

    def end(self, evse: Evse, trigger: str, reason: str) -> None:
        """TransactionEvent Ended."""
        session, evse.session = evse.session, None
        if session:
            session.state = "EVConnected" if evse.ev else "Idle"
            self.event(evse, session, "Ended", trigger, context="Transaction.End", reason=reason)
            self._hardware.end_profiles(evse)

    def event(  # noqa: PLR0913 — the fields of one message
        self,
        evse: Evse,
        session: Session,
        kind: str,
        trigger: str,
        *,
        context: str | None = None,
        token: Grant | None = None,
        reason: str | None = None,
    ) -> None:
        """Queue a TransactionEvent."""
        hardware = self._hardware
        info = {"transactionId": session.transaction, "chargingState": session.state}
        info |= {"stoppedReason": reason} if reason else {}
        info |= {"operationMode": session.mode} if self.is_v21 and session.authorized else {}
        info |= _start_id(session)
        payload = {"eventType": kind, "timestamp": hardware.stamp(), "triggerReason": trigger, "seqNo": session.seq}
        payload |= {
            "offline": not hardware.online,
            "transactionInfo": info,
            "evse": {"id": evse.number, "connectorId": 1},
        }
        payload |= {"idToken": _token(token)} if token else {}
        value = meter_value_v2(hardware, evse, context) if context else {"sampledValue": []}
        payload |= {"meterValue": [value]} if value["sampledValue"] else {}
        session.seq += 1
        hardware.tell("TransactionEvent", payload, kept=True, done=lambda r: self._event_answered(evse, session, r))

    def _event_answered(self, evse: Evse, session: Session, result: Payload | None) -> None:
        info = (result or {}).get("idTokenInfo")
        if info is None or info["status"] == "Accepted" or evse.session is not session:
            return
        session.authorized = False
        if self._hardware.configuration.is_on("stop_invalid"):
            self.end(evse, "Deauthorized", "DeAuthorized")

    def _show(self, evse: Evse, status: str) -> None:
        if evse.status != status:
            evse.status = status
            self.report_status(evse)
            self._hardware.changed()

    def report_status(self, evse: Evse) -> None:
        """StatusNotification, or NotifyEvent where the station prefers it (2.1 B01.FR.05)."""
        if self._hardware.spec.notify_event:
            self._hardware.tell("NotifyEvent", self._availability(evse))
            return
        where = {"evseId": evse.number, "connectorId": 1}
        status = {"timestamp": self._hardware.stamp(), "connectorStatus": evse.status}
        self._hardware.tell("StatusNotification", status | where)

    def _availability(self, evse: Evse) -> Payload:
        now, self._events = self._hardware.stamp(), self._events + 1
        data = {
            "eventId": self._events,
            "timestamp": now,
            "trigger": "Delta",
            "actualValue": evse.status,
            "eventNotificationType": "HardWiredNotification",
            "component": {"name": "Connector", "evse": {"id": evse.number, "connectorId": 1}},
            "variable": {"name": "AvailabilityState"},
        }
        return {"generatedAt": now, "seqNo": 0, "eventData": [data]}

    def handle(self, action: str, payload: Payload) -> Reply:
        """Answer a CALL. Raises CallError NotImplemented for what the station does not know."""
        return answered_by(self._calls, action, payload)


def _token(grant: Grant) -> Payload:
    return {"idToken": grant.token, "type": grant.token_type}


def _start_id(session: Session) -> Payload:
    if session.grant is None or session.grant.remote_start_id is None:
        return {}
    return {"remoteStartId": session.grant.remote_start_id}
