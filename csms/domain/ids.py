"""Identities. Strings with a type, so that a user's id is never passed for a vehicle's."""

from dataclasses import dataclass
from typing import NewType

StationId = NewType("StationId", str)
SiteId = NewType("SiteId", str)
AreaId = NewType("AreaId", str)
UserId = NewType("UserId", str)
VehicleId = NewType("VehicleId", str)
PlugInId = NewType("PlugInId", str)
DrEventId = NewType("DrEventId", str)
TransactionId = NewType("TransactionId", str)
"""As the station spells it; 1.6 integers are written in decimal."""


@dataclass(slots=True, order=True, unsafe_hash=True)
class EvseRef:
    """One EVSE of one station. OCPP 1.6 connector N is EVSE N; EVSE 0 is the station itself.

    Never changed: not frozen for what that costs in every message (csms.domain.frequent).
    """

    station: StationId
    evse: int

    def __str__(self) -> str:
        return f"{self.station}/{self.evse}"
