"""Metered energy in pieces of time of one price and one answer: what settlement and DR reports count. P4, P11, P19."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from csms.domain.dr import Direction, DrEvent
from csms.domain.ids import AreaId
from csms.domain.metering import StoredReading, WindowEnergy
from csms.domain.permission import Permission, PlugIn
from csms.domain.tariff import PriceSeries
from policies.metering import energy_in_window
from policies.permission import stretches

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a market interval in one area, [start, end): one tariff, and the DR events in force in all of it."""

    start: datetime
    end: datetime
    area: AreaId
    tariff_per_kwh: Decimal
    events: tuple[DrEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Energy of one plug-in in one piece of time. ``permitted``: the user's yes held in all of it, or in none."""

    plug_in: PlugIn
    energy: WindowEnergy
    tariff_per_kwh: Decimal
    events: tuple[DrEvent, ...]
    permitted: bool

    @property
    def sale_price(self) -> Decimal:
        """Per discharged kWh: a DOWN event's price, else the tariff (P11)."""
        return self._price(Direction.DOWN)

    @property
    def purchase_price(self) -> Decimal:
        """Per charged kWh: an UP event's price, else the tariff."""
        return self._price(Direction.UP)

    def event_in(self, direction: Direction) -> DrEvent | None:
        """The event whose price holds: the one served first. None without a yes: no event's price is paid then."""
        events = [event for event in self.events if event.direction is direction] if self.permitted else []
        return min(events, key=lambda event: (event.created_at, event.id), default=None)

    def _price(self, direction: Direction) -> Decimal:
        event = self.event_in(direction)
        return self.tariff_per_kwh if event is None else event.unit_price(self.tariff_per_kwh)


def pieces(
    span: tuple[datetime, datetime], interval: timedelta, area: AreaId, events: Sequence[DrEvent], series: PriceSeries
) -> tuple[Piece, ...]:
    """``span`` in pieces for one area. ``events``: of any area and time."""
    local = [event for event in events if event.covers(area) and event.starts_at < event.stops_at]
    return tuple(
        Piece(start, end, area, series.at(start), tuple(event for event in local if event.is_active(start)))
        for start, end in cuts(*span, interval, local, series)
    )


def cuts(
    start: datetime, end: datetime, interval: timedelta, events: Sequence[DrEvent], series: PriceSeries
) -> tuple[tuple[datetime, datetime], ...]:
    """[start, end) in market intervals (aligned to 00:00 UTC), cut at the edges of events and at price steps."""
    edges = {start, end}
    edges.update(_grid(start, end, interval))
    edges.update(edge for event in events for edge in (event.starts_at, event.stops_at))
    edges.update(step.starts_at for step in series.steps)
    inside = sorted({edge.astimezone(UTC) for edge in edges if start <= edge <= end})
    return tuple(pairwise(inside))


def _grid(start: datetime, end: datetime, interval: timedelta) -> Iterable[datetime]:
    edge = _EPOCH + (start - _EPOCH) // interval * interval
    while edge <= end:
        yield edge
        edge += interval


def flows_of(
    plug_in: PlugIn,
    history: Sequence[Permission],
    readings: Sequence[StoredReading],
    within: Sequence[Piece],
    max_w: int,
) -> tuple[tuple[Piece, Flow], ...]:
    """What flowed at one plug-in, cut by the pieces and where its permission changed.

    ``history``: see ``permission.stretches``. ``readings``: of the whole time, with those around it, so that the energy
    of the parts is that of the whole. ``max_w``: see ``metering.energy_in_window``.
    """
    found = []
    for piece in within:
        start = max(piece.start, plug_in.plugged_at)
        end = min(piece.end, plug_in.unplugged_at or piece.end)
        for part in stretches(history, start, end):
            energy = energy_in_window(plug_in.evse, readings, part.start, part.end, max_w)
            flow = Flow(
                plug_in=plug_in,
                energy=energy,
                tariff_per_kwh=piece.tariff_per_kwh,
                events=piece.events,
                permitted=part.permitted,
            )
            found.append((piece, flow))
    return tuple(found)
