"""Lets energy flow once the user has answered: remote start, verified and retried. V2G-26, V2G-32; reference §2.4.

Success is a transaction with our token; the station's Accepted only means that it will try.
"""

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from csms.control.state.id_tokens import IdTokens, new_token_value
from csms.control.state.live import EvseLive, Live, StartAttempt, StationLive
from csms.control.state.profiles import BACKDATED, profile_of
from csms.control.state.tasks import Spawn
from csms.control.state.use import use_now
from csms.domain.answers import TokenStatus
from csms.domain.commands import Accepted, ApplySetpoint, CallFailed, Outcome, Rejected, StartTransaction
from csms.domain.facts import IdToken, TokenType
from csms.domain.people import IdTokenRecord
from csms.domain.permission import PermissionState, PlugIn
from csms.domain.ports import Clock, Stations
from csms.domain.snapshot import Use
from csms.domain.station import BootState, HoldMethod, SetpointDriver
from csms.settings import PermissionSettings
from csms.store import Store, writes

log = structlog.get_logger()

CONFIRMED_WITHIN = timedelta(seconds=30)
TRIES = 3
TOKEN_LIVES = timedelta(days=2)
_FLOWING = frozenset({Use.RESOURCE, Use.PLAIN})


class RemoteStarts:
    """Remote starts under way."""

    def __init__(self, store: Store, live: Live, tokens: IdTokens, stations: Stations, clock: Clock) -> None:
        self._store = store
        self._live = live
        self._tokens = tokens
        self._stations = stations
        self._clock = clock
        self.rules = PermissionSettings()
        self.validity = timedelta(minutes=3)
        self.spawn: Spawn = lambda coroutine: coroutine.close()

    def sweep(self, station: StationLive, evse: EvseLive, now: datetime) -> None:
        """Start what should run and does not; repeat a start that nothing came of."""
        if station.version is None or station.station.boot_state is not BootState.ACCEPTED:
            return
        if evse.authorized or evse.is_over or evse.plug_in is None or evse.plug_in.user is None:
            return
        if not wants_start(station, evse, self.rules, now):
            return
        if evse.start is None or _may_retry(evse.start, now):
            tries = evse.start.tries + 1 if evse.start else 1
            command = StartTransaction(
                evse=evse.ref,
                token=IdToken(new_token_value(), TokenType.CENTRAL),
                remote_start_id=secrets.randbelow(2**31 - 1) + 1,
                limit=first_limit(station, evse, _use_once_started(evse, self.rules, now), now, self.validity),
            )
            evse.start = StartAttempt(command, now, tries)
            self.spawn(self._start(evse, evse.plug_in, evse.start))

    async def _start(self, evse: EvseLive, plug_in: PlugIn, attempt: StartAttempt) -> None:
        record = IdTokenRecord(
            token=attempt.command.token.value,
            type=TokenType.CENTRAL,
            status=TokenStatus.ACCEPTED,
            expires_at=self._clock.now() + TOKEN_LIVES,
            user=plug_in.user,
            vehicle=plug_in.vehicle,
        )
        await self._store.writer.run(partial(writes.upsert_id_token, record=record))
        self._tokens.put(record)
        if evse.start is not attempt:
            return  # the vehicle has left or runs already: this token must not start the next one
        outcome = await self._stations.send(attempt.command)
        if isinstance(outcome, Rejected | CallFailed) and attempt.command.limit is not None:
            outcome = await self._without_limit(evse, attempt, outcome)
        if not isinstance(outcome, Accepted):
            log.warning("start.refused", evse=str(evse.ref), attempt=attempt.tries, outcome=repr(outcome))

    async def _without_limit(self, evse: EvseLive, attempt: StartAttempt, refusal: Outcome) -> Outcome:
        """Some stations refuse any profile here. Only a vehicle that may take power is started without one."""
        if evse.start is not attempt or _use_once_started(evse, self.rules, self._clock.now()) not in _FLOWING:
            return refusal
        return await self._stations.send(replace(attempt.command, limit=None))


def first_limit(
    station: StationLive, evse: EvseLive, use: Use, now: datetime, validity: timedelta
) -> ApplySetpoint | None:
    """What holds from the first watt on, in the setpoint's place, so that the first setpoint replaces it: 0 W while
    nothing is permitted or decided (P4), or the least power where 0 W would end the transaction (field lesson 24).

    None for plain charging, which the floor allows, and where a transaction has its setpoint already.
    """
    can_pause = not station.quirks.zero_ends_transaction
    if evse.transaction is not None or use is Use.PLAIN or (use is Use.RESOURCE and not can_pause):
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
    if use in _FLOWING:
        return True
    if use is not Use.HELD or evse.plug_in is None:
        return False
    waited = now - evse.plug_in.plugged_at
    late = waited >= timedelta(seconds=rules.hold_limit_s)
    asked = evse.plug_in.permission.state is PermissionState.ASKED
    return asked and (station.hold is HoldMethod.START_ZERO or (station.hold is HoldMethod.NONE_START and late))


def _use_once_started(evse: EvseLive, rules: PermissionSettings, now: datetime) -> Use:
    return use_now(evse, rules, now, in_transaction=True)


def _may_retry(attempt: StartAttempt, now: datetime) -> bool:
    return attempt.tries < TRIES and now - attempt.sent_at >= CONFIRMED_WITHIN
