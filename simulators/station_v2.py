"""A station that speaks OCPP 2.0.1 or 2.1: what happens to it. What it is asked: ``station_v2_calls``."""

import uuid

from simulators.cabinet import Bay, Cabinet, Grant, Payload, Session, charging_state
from simulators.dialect import answered_by, deadline
from simulators.metering import meter_value_v2
from simulators.models import FIRMWARE, V21, VENDOR
from simulators.needs import charging_needs
from simulators.rpc import Reply
from simulators.smart_charging import set_profile
from simulators.station_v2_calls import Calls2


class Speech2:
    """The 2.x side of a cabinet."""

    def __init__(self, cabinet: Cabinet) -> None:
        self._cabinet = cabinet
        self._calls = Calls2(cabinet, self)
        self._events = 0
        self.reset_asked = ""
        self.is_v21 = cabinet.spec.model.version == V21

    # --- what happens at the station

    def boot(self, reason: str) -> tuple[str, Payload]:
        """BootNotification."""
        spec = self._cabinet.spec
        station = {"vendorName": VENDOR, "model": spec.model.name, "serialNumber": spec.id[:25]}
        return "BootNotification", {"reason": reason, "chargingStation": station | {"firmwareVersion": FIRMWARE}}

    def all_statuses(self) -> None:
        for bay in self._cabinet.bays.values():
            self.report_status(bay)

    def plugged(self, bay: Bay) -> None:
        self._show(bay, "Occupied")
        if bay.session:
            self._enter(bay, bay.session, "EVConnected", "CablePluggedIn")
            if bay.session.authorized:
                self._tell_needs(bay)
        elif self._starts_at("EVConnected"):
            self._begin(bay, "CablePluggedIn")
        if bay.grant:
            grant, bay.grant = bay.grant, None
            self.granted(bay, grant)

    def unplugged(self, bay: Bay) -> None:
        if bay.session:
            self.end(bay, "EVDeparted", "EVDisconnected")
        bay.grant = None
        self._show(bay, "Available")

    def present(self, bay: Bay, token: str, token_type: str) -> None:
        """A card at the reader: starts, or stops what the same card started."""
        if bay.session and bay.session.grant and bay.session.authorized:
            if bay.session.grant.token == token:
                self.end(bay, "StopAuthorized", "Local")
            return
        self.authorize(bay, Grant(token, token_type))

    def tick(self, bay: Bay) -> None:
        """Once per tick: states, modes, time-outs, limits that end a transaction."""
        now = self._cabinet.clock.now()
        if bay.session and bay.may_flow:
            self._follow(bay, bay.session)
        elif bay.grant and bay.grant.until and now >= bay.grant.until:
            bay.grant = None
        elif bay.session and bay.ev is None and now >= deadline(self._cabinet, bay.session.started_at):
            self.end(bay, "EVConnectTimeout", "Timeout")

    def sample(self, bay: Bay, context: str = "Sample.Periodic") -> None:
        trigger = "Trigger" if context == "Trigger" else "MeterValuePeriodic"
        if bay.session:
            self.event(bay, bay.session, "Updated", trigger, context=context)

    # --- flows

    def authorize(self, bay: Bay, grant: Grant) -> None:
        """Ask the CSMS about a token; offline only if unknown tokens may start."""
        if not self._cabinet.online:
            if self._cabinet.configuration.is_on("offline_unknown"):
                self.granted(bay, grant)
            return

        def answered(result: Payload | None) -> None:
            if result and result["idTokenInfo"]["status"] == "Accepted":
                self.granted(bay, grant)

        self._cabinet.tell("Authorize", {"idToken": _token(grant)}, done=answered)

    def granted(self, bay: Bay, grant: Grant) -> None:
        """Begin or authorize the transaction, or wait for the cable."""
        session = bay.session
        if session and session.authorized:
            return
        if session is None and bay.ev is None and not self._starts_at("Authorized"):
            grant.until = deadline(self._cabinet, self._cabinet.clock.now())
            bay.grant = grant
            return
        trigger = "Authorized" if grant.remote_start_id is None else "RemoteStart"
        if session is None:
            session = self._begin(bay, trigger, grant)
        else:
            self._allow(bay, session, grant)
            self.event(bay, session, "Updated", trigger, token=grant)
        if bay.ev is not None:
            self._tell_needs(bay)

    def _allow(self, bay: Bay, session: Session, grant: Grant) -> None:
        """Energy may flow, within the profile that came with the request."""
        if grant.profile:
            set_profile(self._cabinet, grant.profile, bay.number)
        session.grant, session.authorized = grant, True

    def _starts_at(self, point: str) -> bool:
        return point in self._cabinet.configuration.text("start_point").split(",")

    def _begin(self, bay: Bay, trigger: str, grant: Grant | None = None) -> Session:
        number = str(uuid.UUID(int=self._cabinet.random.getrandbits(128), version=4))
        session = Session(self._cabinet.clock.now(), transaction=number)
        session.state = "EVConnected" if bay.ev else "Idle"
        self._cabinet.begin(bay, session)
        if grant:
            self._allow(bay, session, grant)
        self.event(bay, session, "Started", trigger, context="Transaction.Begin", token=grant)
        return session

    def _tell_needs(self, bay: Bay) -> None:
        """NotifyEVChargingNeeds of a vehicle that can discharge (K15, Q01); Rejected ends the transaction in 2.1."""
        if not self._cabinet.spec.model.discharges or bay.ev is None:
            return
        session, needs = bay.session, charging_needs(self._cabinet, bay, bay.ev, is_v21=self.is_v21)

        def answered(result: Payload | None) -> None:
            refused = result is not None and result["status"] == "Rejected"
            if refused and self.is_v21 and bay.session is session and session is not None:
                self.end(bay, "AbnormalCondition", "ReqEnergyTransferRejected")

        self._cabinet.tell("NotifyEVChargingNeeds", needs, done=answered)

    def _follow(self, bay: Bay, session: Session) -> None:
        at_zero = bay.obeyed_w == 0 and bay.wanted.limit_w is not None
        if at_zero and self._cabinet.behaviour.ends_at_zero:
            self.end(bay, "AbnormalCondition", "Other")
            return
        if self.is_v21 and bay.wanted.mode != session.mode:
            session.mode = bay.wanted.mode
            self.event(bay, session, "Updated", "OperationModeChanged")  # K01.FR.110
        self._enter(bay, session, charging_state(bay), "ChargingStateChanged")

    def _enter(self, bay: Bay, session: Session, state: str, trigger: str) -> None:
        if session.state != state:
            session.state = state
            self.event(bay, session, "Updated", trigger, context="Other")

    def end(self, bay: Bay, trigger: str, reason: str) -> None:
        """TransactionEvent Ended."""
        session, bay.session = bay.session, None
        if session:
            session.state = "EVConnected" if bay.ev else "Idle"
            self.event(bay, session, "Ended", trigger, context="Transaction.End", reason=reason)
            self._cabinet.end_profiles(bay)

    def event(  # noqa: PLR0913 — the fields of one message
        self,
        bay: Bay,
        session: Session,
        kind: str,
        trigger: str,
        *,
        context: str | None = None,
        token: Grant | None = None,
        reason: str | None = None,
    ) -> None:
        """Queue a TransactionEvent."""
        cabinet = self._cabinet
        info = {"transactionId": session.transaction, "chargingState": session.state}
        info |= {"stoppedReason": reason} if reason else {}
        info |= {"operationMode": session.mode} if self.is_v21 and session.authorized else {}
        info |= _start_id(session)
        payload = {"eventType": kind, "timestamp": cabinet.stamp(), "triggerReason": trigger, "seqNo": session.seq}
        payload |= {
            "offline": not cabinet.online,
            "transactionInfo": info,
            "evse": {"id": bay.number, "connectorId": 1},
        }
        payload |= {"idToken": _token(token)} if token else {}
        value = meter_value_v2(cabinet, bay, context) if context else {"sampledValue": []}
        payload |= {"meterValue": [value]} if value["sampledValue"] else {}
        session.seq += 1
        cabinet.tell("TransactionEvent", payload, kept=True, done=lambda r: self._event_answered(bay, session, r))

    def _event_answered(self, bay: Bay, session: Session, result: Payload | None) -> None:
        info = (result or {}).get("idTokenInfo")
        if info is None or info["status"] == "Accepted" or bay.session is not session:
            return
        session.authorized = False
        if self._cabinet.configuration.is_on("stop_invalid"):
            self.end(bay, "Deauthorized", "DeAuthorized")

    def _show(self, bay: Bay, status: str) -> None:
        if bay.status != status:
            bay.status = status
            self.report_status(bay)
            self._cabinet.changed()

    def report_status(self, bay: Bay) -> None:
        """StatusNotification, or NotifyEvent where the station prefers it (2.1 B01.FR.05)."""
        if self._cabinet.spec.notify_event:
            self._cabinet.tell("NotifyEvent", self._availability(bay))
            return
        where = {"evseId": bay.number, "connectorId": 1}
        status = {"timestamp": self._cabinet.stamp(), "connectorStatus": bay.status}
        self._cabinet.tell("StatusNotification", status | where)

    def _availability(self, bay: Bay) -> Payload:
        now, self._events = self._cabinet.stamp(), self._events + 1
        data = {
            "eventId": self._events,
            "timestamp": now,
            "trigger": "Delta",
            "actualValue": bay.status,
            "eventNotificationType": "HardWiredNotification",
            "component": {"name": "Connector", "evse": {"id": bay.number, "connectorId": 1}},
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
