"""Meter samples and what the vehicle says of itself: the newest reading, the state of charge. V2G-33."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from csms.control.state import changes
from csms.control.state.live import EvseLive, Live
from csms.control.state.restore import STAMPS_DIFFER, with_registers
from csms.domain.facts import NeedsReported, Reading
from csms.domain.permission import PlugIn

SOC_JUMP_PERCENT = 10.0
"""A state of charge that moves further than this between two samples a minute apart or less is wrong (V2G-33)."""

FLOWING_W = 100.0
"""Metered power above this is proof of a cable, whatever the status says (field lesson 14)."""


def sampled(evse: EvseLive, readings: tuple[Reading, ...], received_at: datetime) -> Iterator[changes.Change]:
    if readings:
        evse.meter.heard_at = received_at
    before = evse.cable.plugged
    happened: list[changes.Change] = [changes.Sampled(evse, reading) for reading in readings if remember(evse, reading)]
    if before is not None and before.soc_at_start_percent is None and evse.cable.plugged is not before:
        happened.append(changes.SocKnown(evse))
    return iter(happened)


def remember(evse: EvseLive, reading: Reading) -> bool:
    """Make this the newest reading; False when a newer one is known, or it is of before the vehicle that is there."""
    last, plugged = evse.meter.reading, evse.cable.plugged
    if plugged is not None and reading.at < plugged.plugged_at - STAMPS_DIFFER:
        return False  # the vehicle's before
    free_at = evse.cable.free_at
    if free_at is not None and reading.at >= free_at and abs(reading.power_w or 0.0) > FLOWING_W:
        evse.cable.available_since = evse.cable.free_at = None
    if last is not None and reading.at < last.at:
        return False
    evse.meter.reading = reading if last is None else with_registers(reading, last)
    if evse.cable.plugged is not None:
        _note_soc(evse, evse.cable.plugged, reading)
    return True


def _note_soc(evse: EvseLive, plug_in: PlugIn, reading: Reading) -> None:
    soc = reading.soc_percent
    if soc is None or not 0 < soc <= 100:
        return
    if plug_in.soc_percent is not None and plug_in.soc_at is not None:
        moved = abs(soc - plug_in.soc_percent)
        if moved > SOC_JUMP_PERCENT and reading.at - plug_in.soc_at <= timedelta(minutes=1):
            return
    start = soc if plug_in.soc_at_start_percent is None else plug_in.soc_at_start_percent
    evse.cable.plugged = replace(plug_in, soc_percent=soc, soc_at=reading.at, soc_at_start_percent=start)


def needs(live: Live, fact: NeedsReported, _committed: changes.Committed) -> Iterator[changes.Change]:
    evse = live.discover(fact.evse)
    if evse is None:
        return
    evse.meter.needs = fact
    if evse.cable.plugged and fact.soc_percent is not None:
        _note_soc(evse, evse.cable.plugged, Reading(at=fact.origin.received_at, soc_percent=fact.soc_percent))
    yield changes.NeedsKnown(evse)
