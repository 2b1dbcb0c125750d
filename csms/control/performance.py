"""What a DR event asked for, was allotted and got, from the store. Requirements G11, P19; design §4."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, pairwise

from csms.control.settling import Settling
from csms.control.views import DrReport, EvseReport, IntervalReport
from csms.domain.dispatch import DrResult, SetpointRecord
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import EvseRef
from csms.domain.metering import Quality
from csms.store import Store, reads
from policies.settlement import dr_results

LONGEST_VALIDITY = timedelta(minutes=15)
"""A setpoint decided earlier than this before the event cannot hold in it any more."""

_WORST_FIRST = (Quality.MISSING, Quality.ESTIMATED, Quality.INTERPOLATED, Quality.MEASURED)


async def event_report(store: Store, settling: Settling, event: DrEvent, now: datetime) -> DrReport:
    """The event up to ``now``. Delivered energy is metered: the baseline less what the registers show."""
    end = min(event.stops_at, now)
    shares = await store.read(partial(reads.decisions_of, event=event.id))
    span = partial(reads.setpoints, start=event.starts_at - LONGEST_VALIDITY, end=end)
    records = await store.read(span) if end > event.starts_at else []
    pieces = await settling.flows(event.starts_at, end)
    results = dr_results(event, list(chain.from_iterable(flows for _, flows in pieces)), records)
    edges = sorted({event.starts_at, max(end, event.starts_at), *(piece.start for piece, _ in pieces)})
    intervals = tuple(_intervals(event, results, records, edges))
    requested_wh = sum(interval.requested_wh for interval in intervals)
    delivered_wh = sum(interval.delivered_wh for interval in intervals)
    return DrReport(
        event=event,
        capacity_w=shares[-1][1].capacity_w if shares else 0,
        requested_wh=requested_wh,
        allotted_wh=sum(interval.allotted_wh for interval in intervals),
        delivered_wh=delivered_wh,
        achievement=round(delivered_wh / requested_wh, 4) if requested_wh else 0.0,
        intervals=intervals,
        evses=tuple(_evses(event, results, records)),
    )


def _intervals(
    event: DrEvent, results: Sequence[DrResult], records: Sequence[SetpointRecord], edges: Sequence[datetime]
) -> Iterable[IntervalReport]:
    for start, stop in pairwise(edges):
        inside = [result for result in results if start <= result.period_start < stop]
        yield IntervalReport(
            start=start,
            end=stop,
            requested_wh=round(event.requested_w * _hours(start, stop)),
            allotted_wh=round(_allotted_wh(event, records, start, stop)),
            delivered_wh=round(sum(result.delivered_wh for result in inside)),
            quality=_worst(result.quality for result in inside),
        )


def _allotted_wh(event: DrEvent, records: Sequence[SetpointRecord], start: datetime, end: datetime) -> float:
    sign = -1 if event.direction is Direction.DOWN else 1
    by_evse: dict[EvseRef, list[SetpointRecord]] = {}
    for record in sorted(records, key=lambda record: record.decided_at):
        by_evse.setdefault(record.evse, []).append(record)
    return sum(
        sign * (record.desired_w - record.baseline_w) * _held_hours(record, following, start, end)
        for mine in by_evse.values()
        for record, following in zip(mine, [*mine[1:], None], strict=True)
        if record.event == event.id
    )


def _held_hours(record: SetpointRecord, following: SetpointRecord | None, start: datetime, end: datetime) -> float:
    until = min(record.expires_at, following.decided_at) if following else record.expires_at
    return max(0.0, _hours(max(record.decided_at, start), min(until, end)))


def _evses(event: DrEvent, results: Sequence[DrResult], records: Sequence[SetpointRecord]) -> Iterable[EvseReport]:
    newest = {record.evse: record for record in sorted(records, key=lambda r: r.decided_at) if record.event == event.id}
    for ref, record in sorted(newest.items()):
        yield EvseReport(
            evse=ref,
            desired_w=record.desired_w,
            acknowledged_w=record.desired_w if record.acknowledged_at else None,
            observed_w=record.observed_w,
            baseline_w=record.baseline_w,
            delivered_wh=round(sum(result.delivered_wh for result in results if result.evse == ref)),
            state=record.state,
            reasons=record.reasons,
        )


def _worst(qualities: Iterable[str]) -> str:
    found = set(qualities)
    return next((quality.value for quality in _WORST_FIRST if quality.value in found), Quality.MISSING.value)


def _hours(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() / 3600
