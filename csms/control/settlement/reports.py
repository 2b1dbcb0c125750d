"""What the books and the registers say to whoever asks: a DR event's outcome, the frames that an entry came from, and
what must be zero. G11, P19, M2."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from csms.control.settlement import audit, performance
from csms.control.settlement.audit import Audit
from csms.control.settlement.performance import DrReport
from csms.control.settlement.settlement import Settlement
from csms.control.state.events import Events
from csms.control.state.ground import Ground
from csms.domain.errors import Gone, NotFound
from csms.domain.ids import DrEventId
from csms.domain.record import EntryFrames, MissingFrame
from csms.store import reads


class Reports:
    """Reads only; everything comes from the store."""

    def __init__(self, ground: Ground, events: Events, settlement: Settlement, frames_days: int) -> None:
        self._ground = ground
        self._frames_days = frames_days
        self._events = events
        self._settlement = settlement

    async def of_event(self, id_: DrEventId) -> DrReport:
        """Requested, allotted and observed until now. Raises NotFound."""
        event = await self._events.get(id_)
        return await performance.event_report(self._ground.store, self._settlement, event, self._ground.clock.now())

    async def frames_of(self, entry: int) -> EntryFrames:
        """The frames that a ledger entry came from, by its id. Raises NotFound, or Gone where none is left of it."""
        found = await self._ground.store.read(partial(reads.frames_of_entry, entry=entry))
        if found is None:
            raise NotFound(f"there is no ledger entry {entry}")
        first = await self._ground.store.read(reads.first_kept)
        missing = tuple(replace(each, why=self._why(each, first)) for each in found.missing)
        if missing and not found.frames:
            raise Gone(f"no frame of ledger entry {entry} is left: {missing[0].why}", reason="retention")
        return replace(found, missing=missing)

    def _why(self, missing: MissingFrame, first: datetime | None) -> str:
        """``first``: when the oldest frame that is kept came."""
        if self._frames_days == 0:
            return "[retention] frames_days is 0: no frames are kept"
        if missing.at is None:
            return "what it told is no longer stored, or was stored before the message was noted with it"
        if missing.at < self._ground.clock.now() - timedelta(days=self._frames_days):
            return f"it came {missing.at:%Y-%m-%d}, and [retention] frames_days is {self._frames_days}"
        if first is None or missing.at < first:
            return "it came before frames were kept"
        return "it is not among those of its time"

    async def audit(self) -> Audit:
        """What must be zero, over every plug-in."""
        return await audit.audit(self._ground.store, self._ground.clock)
