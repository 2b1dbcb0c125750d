"""Users, their vehicles, their terminals and id tokens. Requirement P1."""

from dataclasses import dataclass
from datetime import datetime

from csms.domain.answers import TokenStatus
from csms.domain.facts import TokenType
from csms.domain.ids import UserId, VehicleId


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody with a role here. ``language`` is a catalogue's name (en, ja)."""

    id: UserId
    name: str
    language: str = "en"
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Vehicle:
    """A vehicle and its battery, as its user told us. Efficiencies are one way, AC side to battery and back.

    ``plate`` and ``vin``: how it is known besides the ids it shows over OCPP (P1); empty = not told.
    """

    id: VehicleId
    user: UserId
    name: str
    capacity_wh: int = 40_000
    max_charge_w: int = 7_360
    max_discharge_w: int = 6_000
    charge_efficiency: float = 0.9
    discharge_efficiency: float = 0.9
    plate: str = ""
    vin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """A phone, a screen in the vehicle or a panel that is linked to a user; of its token only the hash is known."""

    token_hash: str
    name: str
    created_at: datetime

    @property
    def id(self) -> str:
        """What it is called by: the beginning of the hash, which opens nothing."""
        return self.token_hash[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdTokenRecord:
    """What we know of an id token. ``user`` and ``vehicle`` link it to people, where known."""

    token: str
    type: TokenType = TokenType.RFID
    status: TokenStatus = TokenStatus.ACCEPTED
    expires_at: datetime | None = None
    group: str | None = None
    user: UserId | None = None
    vehicle: VehicleId | None = None
