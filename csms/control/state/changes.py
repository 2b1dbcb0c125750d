"""What changed, in words that no version and no message name appears in (V2G-24).

Rooms say it by one ``emit``; ``csms.control.reactions`` knows who hears of what.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from csms.control.state.live import EvseLive, StationLive
from csms.domain.dr import DrEvent
from csms.domain.facts import IdToken, Reading
from csms.domain.ids import TransactionId, UserId
from csms.domain.permission import PlugIn


class Committed(NamedTuple):
    """What the store made of a fact (see store.facts.write_of), and what is known of the token in it, if any: whether
    it was accepted, whose it is, the group it belongs to."""

    result: Any = None
    token_accepted: bool = True
    holder: UserId | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class StationConnected:
    """A new socket took over the station."""

    station: StationLive


@dataclass(frozen=True, slots=True)
class StationLost:
    """Its socket is gone."""

    station: StationLive


@dataclass(frozen=True, slots=True)
class StationBooted:
    """The station started and was accepted."""

    station: StationLive


@dataclass(frozen=True, slots=True)
class StationSettled:
    """It is set up, or has gone on where it was: what is known of it is true now."""

    station: StationLive


@dataclass(frozen=True, slots=True)
class ModelChanged:
    """The station is another model, or has another firmware, than before."""

    station: StationLive


@dataclass(frozen=True, slots=True)
class DriverChanged:
    """The station is told powers in another way than before."""

    station: StationLive


@dataclass(frozen=True, slots=True)
class EvseDiscovered:
    """A station spoke of an EVSE that nobody provisioned."""

    station: StationLive


@dataclass(frozen=True, slots=True)
class FleetChanged:
    """A station was added: the others make room for it."""

    station: StationLive


@dataclass(frozen=True, slots=True)
class PluggedIn:
    """A cable went in; ``evse.plug_in`` is new. ``by``: the token that told of it, when it was one; its holder is whom
    to ask, nobody else who may be expected there."""

    evse: EvseLive
    by: IdToken | None = None


@dataclass(frozen=True, slots=True)
class Unplugged:
    """The cable is out; ``plug_in`` is what ended."""

    evse: EvseLive
    plug_in: PlugIn


@dataclass(frozen=True, slots=True)
class TokenShown:
    """Somebody identified at this EVSE, by a card or by the token of our remote start."""

    evse: EvseLive
    token: IdToken


@dataclass(frozen=True, slots=True)
class CardShown:
    """Somebody holds this card at the station now; 1.6 does not say at which of its EVSEs. It is told of each of them
    with a vehicle, and begins nothing by itself."""

    evse: EvseLive
    token: IdToken


@dataclass(frozen=True, slots=True)
class TransactionBegan:
    """Energy may flow from now on, within what the station is told."""

    evse: EvseLive


@dataclass(frozen=True, slots=True)
class TransactionOver:
    """Nothing flows any more; the cable may still be in."""

    evse: EvseLive


@dataclass(frozen=True, slots=True)
class Presumed:
    """A transaction is taken to have ended ``at``, on evidence: nobody told of its end (field lesson 13)."""

    evse: EvseLive
    transaction: TransactionId
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Denied:
    """The station says that a transaction does not run."""

    evse: EvseLive
    transaction: TransactionId


@dataclass(frozen=True, slots=True)
class Sampled:
    """The EVSE's meter was read."""

    evse: EvseLive
    reading: Reading


@dataclass(frozen=True, slots=True)
class ReadLate:
    """What is known to have been read in this plug-in has changed, other than by its newest reading."""

    evse: EvseLive


@dataclass(frozen=True, slots=True)
class NeedsKnown:
    """The vehicle said what it needs."""

    evse: EvseLive


@dataclass(frozen=True, slots=True)
class SocKnown:
    """The state of charge that the vehicle came with is known."""

    evse: EvseLive


@dataclass(frozen=True, slots=True)
class ForeignSeen:
    """The EVSE meters a transaction that we know nothing of; the store may."""

    evse: EvseLive
    transaction: TransactionId


@dataclass(frozen=True, slots=True)
class EnergyKnown:
    """The energy of this time is known better now: readings of it came in."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class PastKnown:
    """A transaction that is over is kept, with the registers of its start and end: the energy of its time is known
    better now, also where no reading came in."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Matched:
    """A plug-in found its user."""

    plug_in: PlugIn


@dataclass(frozen=True, slots=True)
class Decided:
    """The user's answer, or the lack of one, is another than before."""

    evse: EvseLive


@dataclass(frozen=True, slots=True)
class EventChanged:
    """A DR event is new, other, or cancelled."""

    event: DrEvent


@dataclass(frozen=True, slots=True)
class PricesPublished:
    """Prices are others from then on."""

    since: datetime


@dataclass(frozen=True, slots=True)
class PowerLost:
    """Planned power does not come, or a probe has ended: plan again."""

    evse: EvseLive


Change = (
    StationConnected
    | StationLost
    | StationBooted
    | StationSettled
    | ModelChanged
    | DriverChanged
    | EvseDiscovered
    | FleetChanged
    | PluggedIn
    | Unplugged
    | TokenShown
    | CardShown
    | TransactionBegan
    | TransactionOver
    | Presumed
    | Denied
    | Sampled
    | ReadLate
    | NeedsKnown
    | SocKnown
    | ForeignSeen
    | EnergyKnown
    | PastKnown
    | Matched
    | Decided
    | EventChanged
    | PricesPublished
    | PowerLost
)

Emit = Callable[[Change], None]
