"""What a DR event asked for, was allotted and got, from the store. Requirements G11, P19; design §4."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise

from csms.control.settlement.settlement import Settlement
from csms.domain.decision import Reason
from csms.domain.dispatch import DrResult, SetpointRecord, SetpointState
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import EvseRef
from csms.domain.metering import Quality
from csms.store import Store, reads
from policies.delivery import dr_results

_WORST_FIRST = (Quality.MISSING, Quality.ESTIMATED, Quality.INTERPOLATED, Quality.MEASURED)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalReport:
    """One market interval (or the part of it within the event). Energies in Wh in the event's direction.

    ``within_wh``: the part of it that was allotted, which is paid. ``shortfall_wh``: requested less that.
    """

    start: datetime
    end: datetime
    requested_wh: int
    allotted_wh: int
    delivered_wh: int
    quality: str
    within_wh: int = 0
    shortfall_wh: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EvseReport:
    """One EVSE in a DR event: its newest setpoint in the event and what its meter shows for the event so far.
    ``moved_w``: what that setpoint moves for this event, where several share it only its part."""

    evse: EvseRef
    desired_w: int
    moved_w: int
    acknowledged_w: int | None
    observed_w: int | None
    counterfactual_w: int
    delivered_wh: int
    state: SetpointState
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmovedReport:
    """One permitted EVSE of the event's areas that it did not move: what it was told in the event's time, what would
    have flowed without any event, and why."""

    evse: EvseRef
    desired_w: int
    counterfactual_w: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrReport:
    """Requested, allotted and metered; energies as in ``IntervalReport``. ``achievement`` = delivered / requested so
    far, 0 before the start. ``quality``: the worst of its parts. ``evses``: those that it moved; ``unmoved``: the other
    resources of its areas."""

    event: DrEvent
    capacity_w: int
    requested_wh: int
    allotted_wh: int
    delivered_wh: int
    achievement: float
    intervals: tuple[IntervalReport, ...]
    evses: tuple[EvseReport, ...]
    unmoved: tuple[UnmovedReport, ...] = ()
    within_wh: int = 0
    shortfall_wh: int = 0
    quality: str = "missing"


async def event_report(store: Store, settling: Settlement, event: DrEvent, now: datetime) -> DrReport:
    """The event up to ``now``. Delivered energy is metered: the frozen counterfactual less what the registers show, at
    vehicles whose user's yes held, while setpoints of the event were in force, in the pieces of time that are paid."""
    end = min(event.stops_at, now)
    shares = await store.read(partial(reads.decisions_of, event=event.id))
    records = await store.read(partial(reads.setpoints, event=event.id))
    told = await store.read(partial(reads.setpoints, start=event.starts_at, end=end))
    found = await settling.flows(event.starts_at, end)
    places = await settling.places()
    permitted = {flow.energy.evse for _, flow in found if flow.permitted}
    resources = {ref for ref in permitted if (area := places.area_of(ref)) is not None and event.covers(area)}
    results = dr_results(event, [flow for _, flow in found])
    edges = sorted({event.starts_at, max(end, event.starts_at), *(piece.start for piece, _ in found)})
    intervals = tuple(_intervals(event, results, edges))
    requested_wh = sum(interval.requested_wh for interval in intervals)
    delivered_wh = sum(interval.delivered_wh for interval in intervals)
    return DrReport(
        event=event,
        capacity_w=shares[-1][1].capacity_w if shares else 0,
        requested_wh=requested_wh,
        allotted_wh=sum(interval.allotted_wh for interval in intervals),
        delivered_wh=delivered_wh,
        within_wh=sum(interval.within_wh for interval in intervals),
        shortfall_wh=sum(interval.shortfall_wh for interval in intervals),
        quality=_worst(result.quality for result in results),
        achievement=round(delivered_wh / requested_wh, 4) if requested_wh else 0.0,
        intervals=intervals,
        evses=tuple(_evses(event, results, records)),
        unmoved=tuple(_unmoved(resources - {record.evse for record in records}, told)),
    )


def _intervals(event: DrEvent, results: Sequence[DrResult], edges: Sequence[datetime]) -> Iterable[IntervalReport]:
    for start, stop in pairwise(edges):
        inside = [result for result in results if start <= result.period_start < stop]
        requested_wh = round(event.requested_w * _hours(start, stop))
        within_wh = round(sum(result.within_wh for result in inside))
        yield IntervalReport(
            start=start,
            end=stop,
            requested_wh=requested_wh,
            allotted_wh=round(sum(result.allotted_wh for result in inside)),
            delivered_wh=round(sum(result.delivered_wh for result in inside)),
            within_wh=within_wh,
            shortfall_wh=max(requested_wh - within_wh, 0),
            quality=_worst(result.quality for result in inside),
        )


def _evses(event: DrEvent, results: Sequence[DrResult], records: Sequence[SetpointRecord]) -> Iterable[EvseReport]:
    newest = {
        record.evse: record for record in sorted(records, key=lambda r: r.decided_at) if event.id in record.events
    }
    for ref, record in sorted(newest.items()):
        yield EvseReport(
            evse=ref,
            desired_w=record.desired_w,
            moved_w=_moved_w(event, record),
            acknowledged_w=record.desired_w if record.acknowledged_at else None,
            observed_w=record.observed_w,
            counterfactual_w=record.counterfactual_w,
            delivered_wh=round(sum(result.delivered_wh for result in results if result.evse == ref)),
            state=record.state,
            reasons=record.reasons,
        )


def _moved_w(event: DrEvent, record: SetpointRecord) -> int:
    if record.parts:
        return sum(part.power_w for part in record.parts if part.event == event.id)
    change_w = record.desired_w - record.counterfactual_w
    return max(change_w if event.direction is Direction.UP else -change_w, 0)


def _unmoved(resources: Iterable[EvseRef], told: Sequence[SetpointRecord]) -> Iterable[UnmovedReport]:
    newest = {record.evse: record for record in sorted(told, key=lambda r: r.decided_at)}
    for ref in sorted(newest.keys() & set(resources)):
        record = newest[ref]
        yield UnmovedReport(
            evse=ref,
            desired_w=record.desired_w,
            counterfactual_w=record.counterfactual_w,
            reasons=record.reasons,
        )


def _worst(qualities: Iterable[str]) -> str:
    found = set(qualities)
    return next((quality.value for quality in _WORST_FIRST if quality.value in found), Quality.MISSING.value)


def _hours(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() / 3600
