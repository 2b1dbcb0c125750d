"""What a station said, in the product's words. A fact is decided on only after it is committed (design §3).

``device_at`` is the station's own time as it was said, ``at`` what we make of it: corrected by ``Origin.offset_s``, or
``received_at`` where the own time cannot be. ``device_at`` None = ``at`` is the station's own. ``stated``: its words.
Natural keys are made of the station's own time: a correction never makes two of one (V2G-54).
``message_id`` is the frame it came in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from csms.domain.frequent import frequent
from csms.domain.ids import EvseRef, StationId, TransactionId
from csms.domain.station import ConnectorStatus


@frequent
class Origin:
    """Where and when a fact came in. ``offset_s``: how far its station's clock was taken to be behind ours then."""

    station: StationId
    message_id: str
    received_at: datetime
    offset_s: float = 0.0


class TokenType(StrEnum):
    """Kinds of id token (2.x names; a 1.6 idTag is ISO14443 unless it says otherwise)."""

    RFID = "ISO14443"
    EMAID = "eMAID"
    EVCCID = "EVCCID"
    MAC = "MacAddress"
    VIN = "VIN"
    CENTRAL = "Central"
    LOCAL = "Local"
    DIRECT_PAYMENT = "DirectPayment"
    NONE = "NoAuthorization"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class IdToken:
    """An id token; compared without case (V2G-31). ``value`` is kept as it came."""

    value: str
    type: TokenType = TokenType.RFID

    @property
    def key(self) -> str:
        return self.value.strip().upper()


@frequent
class Reading:
    """One MeterValue. Registers in Wh, power in W (both >= 0, import and export apart); None = not reported.

    ``power_import_w`` of a station that signs its power (quirk ``signed_power``) may come negative: decode splits it.
    ``extra`` holds measurands without a field of their own, as ``{"measurand[.phase][@location]": value}``.
    """

    at: datetime
    context: str = "Sample.Periodic"
    import_wh: float | None = None
    export_wh: float | None = None
    power_import_w: float | None = None
    power_export_w: float | None = None
    power_offered_w: float | None = None
    current_a: float | None = None
    voltage_v: float | None = None
    soc_percent: float | None = None
    extra: Mapping[str, Any] | None = None
    device_at: datetime | None = None

    @property
    def power_w(self) -> float | None:
        """Net power, + into the vehicle; None when neither direction was reported."""
        if self.power_import_w is None and self.power_export_w is None:
            return None
        return (self.power_import_w or 0.0) - (self.power_export_w or 0.0)


@frequent
class Heartbeat:
    """Heartbeat: the station lives. Memory only."""

    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """BootNotification."""

    origin: Origin
    vendor: str
    model: str
    serial: str = ""
    firmware: str = ""
    reason: str = ""


@frequent
class StatusReported:
    """StatusNotification, or NotifyEvent of a connector's AvailabilityState. EVSE 0 = the station itself.

    ``stated_at``: the station's own time where ``device_at`` is not: of a clock that stands still, which is no key.
    """

    origin: Origin
    evse: EvseRef
    connector: int
    status: ConnectorStatus
    at: datetime
    error_code: str = ""
    info: str = ""
    device_at: datetime | None = None
    stated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusesReported:
    """Several statuses in one NotifyEvent (2.x). ``others``: its events that are none, as they came: alarms too."""

    origin: Origin
    statuses: tuple[StatusReported, ...]
    others: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizeAsked:
    """Authorize. 1.6 does not say at which EVSE."""

    origin: Origin
    token: IdToken
    evccid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionStarted:
    """1.6 StartTransaction. Natural key: (station, evse, token.key, the time as it was stated, meter_start_wh)."""

    origin: Origin
    evse: EvseRef
    token: IdToken
    at: datetime
    meter_start_wh: int
    reservation: int | None = None
    device_at: datetime | None = None
    stated: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionStopped:
    """1.6 StopTransaction. ``transaction`` as sent: "-1", "0" and unknown ids occur (V2G-55)."""

    origin: Origin
    transaction: TransactionId
    at: datetime
    meter_stop_wh: int
    token: IdToken | None = None
    reason: str = ""
    readings: tuple[Reading, ...] = ()
    device_at: datetime | None = None
    stated: str = ""


class TransactionPhase(StrEnum):
    """2.x TransactionEvent eventType."""

    STARTED = "Started"
    UPDATED = "Updated"
    ENDED = "Ended"


@frequent
class TransactionReported:
    """2.x TransactionEvent. Natural key: (station, transaction, seq_no, its own time): ids and numbers begin again
    after a reset. ``offline`` = history: no reaction."""

    origin: Origin
    transaction: TransactionId
    phase: TransactionPhase
    seq_no: int
    trigger: str
    at: datetime
    evse: EvseRef | None = None
    connector: int | None = None
    token: IdToken | None = None
    charging_state: str = ""
    remote_start_id: int | None = None
    offline: bool = False
    stopped_reason: str = ""
    operation_mode: str = ""
    readings: tuple[Reading, ...] = ()
    device_at: datetime | None = None


@frequent
class Metered:
    """MeterValues. EVSE 0 is the station's main meter."""

    origin: Origin
    evse: EvseRef
    transaction: TransactionId | None
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsReported:
    """NotifyEVChargingNeeds. Energies in Wh, powers in W, magnitudes >= 0; None = not said.

    ``iso20`` tells an ISO 15118-20 session from a -2 one: Rejected means something else in each (V2G-13).
    ``bidirectional`` = a *_BPT service was requested.
    """

    origin: Origin
    evse: EvseRef
    iso20: bool
    bidirectional: bool
    departure_at: datetime | None = None
    soc_percent: float | None = None
    capacity_wh: int | None = None
    energy_wanted_wh: int | None = None
    max_charge_w: int | None = None
    max_discharge_w: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSent:
    """DataTransfer from the station."""

    origin: Origin
    vendor: str
    message: str
    data: str


class NoticeKind(StrEnum):
    """What a notice is about."""

    AUTHORIZATION = "authorization"
    CHARGING_LIMIT = "charging_limit"
    CHARGING_LIMIT_CLEARED = "charging_limit_cleared"
    CHARGING_NEEDS = "charging_needs"
    CHARGING_PROFILES = "charging_profiles"
    CUSTOMER_INFORMATION = "customer_information"
    DIAGNOSTICS_STATUS = "diagnostics_status"
    DISPLAY_MESSAGES = "display_messages"
    EV_CHARGING_SCHEDULE = "ev_charging_schedule"
    EVENTS = "events"
    FIRMWARE_STATUS = "firmware_status"
    LOG_STATUS = "log_status"
    MONITORING_REPORT = "monitoring_report"
    PRIORITY_CHARGING = "priority_charging"
    PUBLISH_FIRMWARE_STATUS = "publish_firmware_status"
    REPORT = "report"
    RESERVATION_UPDATE = "reservation_update"
    SECURITY_EVENT = "security_event"
    VENDOR_DATA = "vendor_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """What a station told for people to read; nothing follows from it. ``content``: as it came (C6, C13)."""

    origin: Origin
    kind: NoticeKind
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unintelligible:
    """A message that must be confirmed but could not be understood: stored raw, quarantined (V2G-39)."""

    origin: Origin
    action: str
    raw: str
    why: str
    evse: EvseRef | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


StationFact = (
    Heartbeat
    | Booted
    | StatusReported
    | StatusesReported
    | AuthorizeAsked
    | TransactionStarted
    | TransactionStopped
    | TransactionReported
    | Metered
    | NeedsReported
    | DataSent
    | Noticed
    | Unintelligible
)

EVIDENCE = frozenset(
    {
        StatusReported,
        StatusesReported,
        AuthorizeAsked,
        TransactionStarted,
        TransactionStopped,
        TransactionReported,
        Metered,
        NeedsReported,
        Unintelligible,
    }
)
"""Money or permission may rest on these: the frame that each came in is kept (M2)."""
