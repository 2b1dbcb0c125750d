"""Verbs of the tests that decide, send and look at the meter."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from csms.domain.commands import (
    ApplySetpoint,
)
from csms.domain.decision import Reason
from csms.domain.dispatch import SetpointRecord
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import DrEventId, EvseRef
from csms.store import reads
from tests.control.kit import E1, World


async def event(w: World, requested_w: int = 4000, **changed: Any) -> DrEvent:
    made = DrEvent(
        id=DrEventId("dr-1"),
        direction=Direction.DOWN,
        requested_w=requested_w,
        starts_at=w.clock.now(),
        ends_at=w.clock.now() + timedelta(hours=1),
        incentive_per_kwh=Decimal(20),
        created_at=w.clock.now(),
    )
    return await w.system.events.create(replace(made, **changed))


async def tick(w: World, seconds: float = 0) -> list[int]:
    """The setpoints that one tick sends, W."""
    w.clock.pass_(seconds)
    before = len(w.stations.of(ApplySetpoint))
    await w.system.rooms.dispatch.tick()
    await w.quiet()
    return [sent.setpoint_w for sent in w.stations.of(ApplySetpoint)[before:]]


async def stored(w: World, ref: EvseRef = E1) -> list[SetpointRecord]:
    return await w.store.read(partial(reads.setpoints, evse=ref))


def shares(w: World) -> tuple[int, bool]:
    """What the newest decision allots to its event, and whether it falls short."""
    assert w.system.rooms.dispatch.decision is not None
    (share,) = w.system.rooms.dispatch.decision.events
    return share.allotted_w, Reason.DR_SHORTFALL in share.reasons


def setpoint(w: World) -> SetpointRecord:
    assert w.evse.told.setpoint is not None
    return w.evse.told.setpoint
