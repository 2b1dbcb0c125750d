"""Id tokens: who may charge. Scenario 8 of the test cases; V2G-30, V2G-31."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from csms.control.state import rights
from csms.control.state.live import Live
from csms.domain.answers import TokenAnswer, TokenStatus
from csms.domain.facts import IdToken, TokenType
from csms.domain.ids import EvseRef
from csms.domain.people import IdTokenRecord
from csms.store import Store, writes

_OPEN_TYPES = frozenset({TokenType.NONE})
"""A station that authorizes nobody says so; refusing would only stop a charge that its host wants."""


@dataclass(slots=True)
class IdTokens:
    """All known id tokens, by upper-case key: a copy of the store's."""

    records: dict[str, IdTokenRecord] = field(default_factory=dict)

    def load(self, records: Iterable[IdTokenRecord]) -> None:
        for record in records:
            self.put(record)

    def put(self, record: IdTokenRecord) -> None:
        self.records[record.token.strip().upper()] = record

    async def keep(self, store: Store, record: IdTokenRecord) -> None:
        """Add or replace a token; it is durable before it is known."""
        await store.writer.run(partial(writes.upsert_id_token, record=record))
        self.put(record)

    def find(self, token: IdToken) -> IdTokenRecord | None:
        return self.records.get(token.key)

    def accepted(self, value: str | None, evse: EvseRef, live: Live, at: datetime | None) -> frozenset[str]:
        """The keys that may end what a stored transaction's token began ``at``: its own and its group's. Empty where it
        was none to charge with there: blocked and unknown ones were refused, and those that had expired by then."""
        record = None if value is None else self.records.get(value.strip().upper())
        if record is None or record.status is not TokenStatus.ACCEPTED:
            return frozenset()
        if at is not None and record.expires_at is not None and record.expires_at <= at:
            return frozenset()
        if not rights.may_charge(live, evse.station, evse, record.user):
            return frozenset()
        named = (record.token, record.group)
        return frozenset(each.strip().upper() for each in named if each is not None)

    def purge(self, now: datetime) -> None:
        """Forget our own tokens that have expired; what they authorized is over, and the store still knows them."""
        over = [
            key
            for key, record in self.records.items()
            if record.type is TokenType.CENTRAL and record.expires_at is not None and record.expires_at <= now
        ]
        for key in over:
            del self.records[key]

    def verdict(self, token: IdToken, now: datetime) -> TokenAnswer:
        """Whether this token may charge now."""
        record = self.find(token)
        if record is None:
            known = token.type in _OPEN_TYPES
            return TokenAnswer(status=TokenStatus.ACCEPTED if known else TokenStatus.UNKNOWN)
        status = record.status
        if status is TokenStatus.ACCEPTED and record.expires_at is not None and record.expires_at <= now:
            status = TokenStatus.EXPIRED
        return TokenAnswer(status=status, expires_at=record.expires_at, group=record.group)


def new_token_value() -> str:
    """An id token of our own making: 14 upper-case hex digits, which every firmware takes (V2G-31)."""
    return secrets.token_hex(7).upper()
