"""Lets energy flow once the user has answered: remote start, verified and retried. V2G-26, V2G-32; reference §2.4.

Success is a transaction with our token; the station's Accepted only means that it will try.
"""

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from csms.control.state import changes
from csms.control.state.feed import Feed
from csms.control.state.ground import Ground
from csms.control.state.id_tokens import IdTokens, new_token_value
from csms.control.state.live import EvseLive, StationLive
from csms.control.state.profiles import BACKDATED, profile_of
from csms.control.state.records import Answer, StartAttempt
from csms.control.state.use import use_now
from csms.domain.answers import TokenStatus
from csms.domain.commands import Accepted, ApplySetpoint, CallFailed, Outcome, Rejected, StartTransaction
from csms.domain.facts import IdToken, TokenType
from csms.domain.ids import PlugInId
from csms.domain.people import IdTokenRecord
from csms.domain.permission import Evidence, PermissionState, StartFailure
from csms.domain.ports import Stations
from csms.domain.snapshot import Use
from csms.domain.station import BootState, HoldMethod, SetpointDriver
from csms.settings import PermissionSettings
from csms.store import writes

log = structlog.get_logger()

CONFIRMED_WITHIN = timedelta(seconds=30)
TRIES = 3
TOKEN_LIVES = timedelta(days=2)
_FLOWING = frozenset({Use.RESOURCE, Use.PLAIN})


class RemoteStarts:
    """Remote starts under way."""

    def __init__(
        self,
        ground: Ground,
        tokens: IdTokens,
        stations: Stations,
        rules: PermissionSettings,
        validity: timedelta,
        feed: Feed,
    ) -> None:
        self._store = ground.store
        self._clock = ground.clock
        self._spawn = ground.spawn
        self._put = ground.put
        self._tokens = tokens
        self._stations = stations
        self._rules = rules
        self._validity = validity
        self._feed = feed

    def sweep(self, station: StationLive, evse: EvseLive, now: datetime) -> None:
        """Start what should run and does not; repeat a start that nothing came of."""
        if station.version is None or station.station.boot_state is not BootState.ACCEPTED:
            return
        answer = evse.answered
        if evse.run.authorized or _is_over(evse) or answer is None or answer.user is None:
            return
        if evse.plug_in is None or evse.plug_in.is_guess:
            return  # nobody pays for what is started for whoever may stand there (S1)
        if not wants_start(station, evse, self._rules, now):
            return
        if answer.start is not None and answer.start_failed is None and _is_in_vain(answer.start, now):
            self._give_up(evse, answer, answer.start.failure)
        elif answer.start is None or _may_retry(answer.start, now):
            tries = answer.start.tries + 1 if answer.start else 1
            use = _use_once_started(evse, self._rules, now)
            command = StartTransaction(
                evse=evse.ref,
                token=IdToken(new_token_value(), TokenType.CENTRAL),
                remote_start_id=secrets.randbelow(2**31 - 1) + 1,
                limit=first_limit(station, evse, use, now, self._validity),
            )
            answer.start = StartAttempt(command, now, tries)
            self._spawn(self._start(evse, answer, answer.start))

    def _give_up(self, evse: EvseLive, answer: Answer, failure: StartFailure) -> None:
        """Tell the driver why nothing flows; a new yes, or a station that starts anew, is worth new tries."""
        answer.start_failed = failure
        log.warning("start.failed", evse=str(evse.ref), reason=failure)
        self._feed.changed(answer.user)

    def left(self, change: changes.Unplugged) -> None:
        """A start that has not come about must not come about with the next vehicle: its token ends with the plug-in
        (B1)."""
        answer = change.evse.answer
        if answer is None or answer.plug_in != change.plug_in.id:
            return
        for key in answer.evidence.start_tokens:
            if (record := self._tokens.records.get(key)) is not None:
                over = replace(record, expires_at=self._clock.now())
                self._tokens.put(over)
                self._put(writes.upsert_id_token, record=over)

    def returned(self, change: changes.StationConnected) -> None:
        """One that did not answer when it was told to start may answer now: its driver was promised a new try."""
        for evse in change.station.evses.values():
            if evse.answered is not None and evse.answered.start_failed is StartFailure.NO_ANSWER:
                evse.answered.start = evse.answered.start_failed = None
                self._feed.changed(evse.user)

    def booted(self, change: changes.StationBooted) -> None:
        """A station that starts anew may do what it did not do before, and has forgotten what it was told to start."""
        now = self._clock.now()
        for evse in change.station.evses.values():
            if evse.answered is None:
                continue
            evse.answered.start = evse.answered.start_failed = None
            if evse.run.transaction is not None and evse.run.authorized:
                evse.answered.cycled_at = now

    async def _start(self, evse: EvseLive, answer: Answer, attempt: StartAttempt) -> None:
        record = IdTokenRecord(
            token=attempt.command.token.value,
            type=TokenType.CENTRAL,
            status=TokenStatus.ACCEPTED,
            expires_at=self._clock.now() + TOKEN_LIVES,
            user=answer.user,
            vehicle=answer.vehicle.id if answer.vehicle else None,
        )
        tokens = (*answer.evidence.start_tokens, attempt.command.token.key)
        answer.evidence = replace(answer.evidence, start_tokens=tokens)
        await self._store.writer.run(partial(_write, record=record, plug_in=answer.plug_in, evidence=answer.evidence))
        self._tokens.put(record)
        if not _is_current(evse, attempt):
            return  # the vehicle has left or runs already: this token must not start the next one
        outcome = await self._stations.send(attempt.command)
        if isinstance(outcome, Rejected | CallFailed) and attempt.command.limit is not None:
            outcome = await self._without_limit(evse, attempt, outcome)
        if not isinstance(outcome, Accepted):
            attempt.failure = StartFailure.REJECTED if isinstance(outcome, Rejected) else StartFailure.NO_ANSWER
            log.warning("start.refused", evse=str(evse.ref), attempt=attempt.tries, outcome=repr(outcome))

    async def _without_limit(self, evse: EvseLive, attempt: StartAttempt, refusal: Outcome) -> Outcome:
        """Some stations refuse any profile here. Only a vehicle that may take power is started without one."""
        if not _is_current(evse, attempt) or _use_once_started(evse, self._rules, self._clock.now()) not in _FLOWING:
            return refusal
        return await self._stations.send(replace(attempt.command, limit=None))


def _write(conn: Any, record: IdTokenRecord, plug_in: PlugInId, evidence: Evidence) -> None:
    """The token, and that it was made for this plug-in: it ends with it, whatever happens meanwhile (B1)."""
    writes.upsert_id_token(conn, record=record)
    writes.save_evidence(conn, plug_in=plug_in, evidence=evidence)


def first_limit(
    station: StationLive, evse: EvseLive, use: Use, now: datetime, validity: timedelta
) -> ApplySetpoint | None:
    """What holds from the first watt on, in the setpoint's place, so that the first setpoint replaces it: 0 W while
    nothing is permitted or decided (P4), or the least power where 0 W would end the transaction (field lesson 24).

    None for plain charging, which the floor allows, and where a transaction has its setpoint already.
    """
    can_pause = not station.quirks.zero_ends_transaction
    if evse.run.transaction is not None or use is Use.PLAIN or (use is Use.RESOURCE and not can_pause):
        return None
    return ApplySetpoint(
        evse=evse.ref,
        transaction=None,
        setpoint_w=0 if can_pause else evse.evse.ratings.min_charge_w,
        starts_at=now - BACKDATED,
        expires_at=now + validity,
        driver=SetpointDriver.CHARGE_ONLY,
        rate_unit=station.quirks.rate_unit,
        ratings=evse.evse.ratings,
        profile=profile_of(evse.ref),
        stack_level=station.quirks.stack_level,
    )


def wants_start(station: StationLive, evse: EvseLive, rules: PermissionSettings, now: datetime) -> bool:
    """Whether a transaction should run at this plug-in now."""
    use = _use_once_started(evse, rules, now)
    if use in _FLOWING or (use is Use.NOTHING and _lacks_required(evse)):
        return True
    if use is not Use.HELD or evse.cable.plugged is None or evse.answered is None:
        return False
    waited = now - evse.cable.plugged.plugged_at
    late = waited >= timedelta(seconds=rules.hold_limit_s)
    asked = evse.answered.permission.state is PermissionState.ASKED
    return asked and (station.hold is HoldMethod.START_ZERO or (station.hold is HoldMethod.NONE_START and late))


def _lacks_required(evse: EvseLive) -> bool:
    """A required charge, which stands above a host's "nothing", was stated and is not known to be there (P7)."""
    conditions = evse.answered.permission.conditions if evse.answered else None
    if conditions is None:
        return False
    if conditions.required_kwh is not None:
        return conditions.required_kwh > 0
    return (evse.soc_percent or 0.0) < conditions.required_soc_percent


def _is_over(evse: EvseLive) -> bool:
    """A transaction ran and somebody ended it. One that a power cycle of the station cut off is started again."""
    if not evse.is_over or evse.answered is None or evse.run.over_at is None:
        return evse.is_over
    return not evse.answered.was_cut_off(evse.run.over_at)


def _use_once_started(evse: EvseLive, rules: PermissionSettings, now: datetime) -> Use:
    return use_now(evse, rules, now, in_transaction=True)


def _is_current(evse: EvseLive, attempt: StartAttempt) -> bool:
    return evse.answered is not None and evse.answered.start is attempt


def _is_in_vain(attempt: StartAttempt, now: datetime) -> bool:
    return attempt.tries >= TRIES and now - attempt.sent_at >= CONFIRMED_WITHIN


def _may_retry(attempt: StartAttempt, now: datetime) -> bool:
    return attempt.tries < TRIES and now - attempt.sent_at >= CONFIRMED_WITHIN
