"""What a DR event was allotted and got at each EVSE: setpoints and baseline against the meter. G11, P19; design §4."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from csms.domain.dispatch import DrResult, SetpointRecord
from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import EvseRef, PlugInId
from csms.domain.metering import Quality, WindowEnergy
from policies.flows import Flow

Held = tuple[SetpointRecord, Decimal]
"""A setpoint and the hours it held in some window."""


def dr_results(event: DrEvent, flows: Sequence[Flow], setpoints: Sequence[SetpointRecord]) -> tuple[DrResult, ...]:
    """What the event was allotted and got of each EVSE that it moved, in each flow. Signed Wh.

    ``setpoints``: all records of these EVSEs in the event's time. An EVSE that the event never moved has no result, nor
    has a time without the user's yes: nothing that flowed then counts (P4).
    """
    records: dict[tuple[EvseRef, PlugInId | None], list[SetpointRecord]] = {}
    for record in sorted(setpoints, key=lambda record: record.decided_at):
        records.setdefault((record.evse, record.plug_in), []).append(record)
    counted = (flow for flow in flows if flow.permitted)
    pairs = ((flow, _held(records.get((flow.energy.evse, flow.plug_in.id), []), flow.energy)) for flow in counted)
    return tuple(
        _result(event, flow.energy, held) for flow, held in pairs if any(record.event == event.id for record, _ in held)
    )


def _held(records: Sequence[SetpointRecord], energy: WindowEnergy) -> list[Held]:
    """Each record holds until the next one or its expiry."""
    ends = [*(record.decided_at for record in records[1:]), energy.end]
    spans = (
        (record, max(record.decided_at, energy.start), min(end, record.expires_at, energy.end))
        for record, end in zip(records, ends, strict=False)
    )
    return [(record, _hours(start, end)) for record, start, end in spans if start < end]


def _hours(start: datetime, end: datetime) -> Decimal:
    return Decimal((end - start) // timedelta(microseconds=1)) / Decimal(3_600_000_000)


def _result(event: DrEvent, energy: WindowEnergy, held: Sequence[Held]) -> DrResult:
    """The mean baseline over the time that setpoints held is taken for all of it. What was not metered did not come."""
    held_h = sum((hours for _, hours in held), Decimal(0))
    mean_w = sum((record.counterfactual_w * hours for record, hours in held), Decimal(0)) / held_h
    counterfactual_wh = mean_w * _hours(energy.start, energy.end)
    sign = -1 if event.direction is Direction.DOWN else 1
    is_metered = energy.quality is not Quality.MISSING
    return DrResult(
        event=event.id,
        evse=energy.evse,
        period_start=energy.start,
        period_end=energy.end,
        counterfactual_wh=counterfactual_wh,
        metered_wh=energy.net_wh,
        delivered_wh=sign * (energy.net_wh - counterfactual_wh) if is_metered else Decimal(0),
        allotted_wh=sign * sum(_moved_wh(event, held), Decimal(0)),
        quality=str(energy.quality),
    )


def _moved_wh(event: DrEvent, held: Sequence[Held]) -> list[Decimal]:
    return [(record.desired_w - record.counterfactual_w) * hours for record, hours in held if record.event == event.id]
