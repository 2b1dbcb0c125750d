"""What permission writes of a plug-in: kept in the store, told to its user and to the rooms."""

import asyncio
from weakref import WeakValueDictionary

from csms.control.state import changes
from csms.control.state.feed import Feed
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive
from csms.control.state.records import Answer
from csms.domain.ids import UserId
from csms.domain.permission import Evidence, Permission
from csms.store import writes


class Savings:
    """One after another, what a user has of conditions and vehicles is saved, and what is kept is put to a plug-in: who
    becomes a plug-in's user between the two would be bound by what held before. Taken before any answer's lock, of
    several users in their order."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[UserId, asyncio.Lock] = WeakValueDictionary()

    def of(self, user: UserId) -> asyncio.Lock:
        """Gone once nobody holds it or waits for it."""
        return self._locks.setdefault(user, asyncio.Lock())


class Kept:
    """Each change of an answer goes through here; see ``records.Answer``."""

    def __init__(self, ground: Ground, feed: Feed) -> None:
        self._ground = ground
        self._feed = feed

    def decide(self, evse: EvseLive, answer: Answer, permission: Permission) -> None:
        """Another permission holds from now on."""
        answer.permission = permission
        self.save(evse)
        self.tell(evse)

    def tell(self, evse: EvseLive) -> None:
        """What holds is another: its user's pages and the rooms hear of it."""
        self._feed.changed(evse.user)
        self._ground.emit(changes.Decided(evse))

    def note(self, evse: EvseLive) -> None:
        """Keep what was learnt of the vehicle."""
        if evse.plug_in is not None:
            self._ground.put(writes.note_plug_in, plug_in=evse.plug_in)

    def save(self, evse: EvseLive) -> None:
        """Keep the answer as it is now."""
        if evse.plug_in is not None:
            self._ground.put(writes.save_answer, plug_in=evse.plug_in)

    def evidence(self, evse: EvseLive, evidence: Evidence) -> None:
        """How it is known whose it is."""
        answer = evse.answered
        if answer is not None and answer.evidence != evidence:
            answer.evidence = evidence
            self._ground.put(writes.save_evidence, plug_in=answer.plug_in, evidence=evidence)
