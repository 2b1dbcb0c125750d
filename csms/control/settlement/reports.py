"""What the books and the registers say to whoever asks: a DR event's outcome, and what must be zero. G11, P19."""

from csms.control.settlement import audit, performance
from csms.control.settlement.audit import Audit
from csms.control.settlement.performance import DrReport
from csms.control.settlement.settlement import Settlement
from csms.control.state.events import Events
from csms.control.state.ground import Ground
from csms.domain.ids import DrEventId


class Reports:
    """Reads only; everything comes from the store."""

    def __init__(self, ground: Ground, events: Events, settlement: Settlement) -> None:
        self._ground = ground
        self._events = events
        self._settlement = settlement

    async def of_event(self, id_: DrEventId) -> DrReport:
        """Requested, allotted and observed until now. Raises NotFound."""
        event = await self._events.get(id_)
        return await performance.event_report(self._ground.store, self._settlement, event, self._ground.clock.now())

    async def audit(self) -> Audit:
        """What must be zero, over every plug-in."""
        return await audit.audit(self._ground.store, self._ground.clock)
