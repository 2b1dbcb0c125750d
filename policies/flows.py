"""Metered energy in pieces of time of one price, one answer and one command: what settlement and DR reports count.

Requirements P4, P11, P19.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from csms.domain.dr import DrEvent
from csms.domain.ids import DrEventId
from csms.domain.metering import StoredReading, WindowEnergy
from csms.domain.permission import Permission, PlugIn
from csms.domain.tariff import PriceSeries
from policies.commands import Command, Run, Tariffs, runs
from policies.in_force import InForce
from policies.metering import energy_in_window
from policies.permission import stretches
from policies.registers import Span
from policies.unconfirmed import Possible, Unconfirmed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REGISTERS = ("import_wh", "export_wh", "transaction")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a market interval, [start, end), of one tariff. ``interval``: the whole of it. ``currency``: of the
    tariff; None = the one that everything is settled in."""

    start: datetime
    end: datetime
    interval: Span
    tariff_per_kwh: Decimal
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Energy of one plug-in in one piece of time. ``permitted``: the user's yes held in all of it, or in none.

    ``command``: what an event or a probe commanded in all of it; None without a yes. ``unconfirmed``: what setpoints of
    ours may have discharged beyond that. A command is followed within one
    market interval as a whole, so that a coarse register's steps do not decide.
    """

    plug_in: PlugIn
    energy: WindowEnergy
    tariff_per_kwh: Decimal
    permitted: bool
    command: Command | None = None
    unconfirmed: Unconfirmed | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that is known of one plug-in. ``history``: see ``permission.stretches``. ``readings``: those of the intervals
    looked at, with those around them. ``in_force``: its setpoints; ``possible``: what they may have discharged without
    being in force. ``events``: those that they name. ``max_w``: see ``metering.energy_in_window``."""

    plug_in: PlugIn
    history: Sequence[Permission]
    readings: Sequence[StoredReading]
    max_w: int
    in_force: Sequence[InForce] = ()
    possible: Sequence[Possible] = ()
    events: Mapping[DrEventId, DrEvent] = field(default_factory=dict)


def pieces(span: tuple[datetime, datetime], interval: timedelta, series: PriceSeries) -> tuple[Piece, ...]:
    """``span`` in pieces."""
    return tuple(
        Piece(start, end, _around(start, interval), series.at(start)) for start, end in cuts(*span, interval, series)
    )


def _around(at: datetime, interval: timedelta) -> Span:
    start = _EPOCH + (at - _EPOCH) // interval * interval
    return Span(start, start + interval)


def cuts(
    start: datetime, end: datetime, interval: timedelta, series: PriceSeries
) -> tuple[tuple[datetime, datetime], ...]:
    """[start, end) in market intervals (aligned to 00:00 UTC), cut at price steps."""
    edges = {start, end}
    edges.update(_grid(start, end, interval))
    edges.update(step.starts_at for step in series.steps)
    inside = sorted({edge.astimezone(UTC) for edge in edges if start <= edge <= end})
    return tuple(pairwise(inside))


def _grid(start: datetime, end: datetime, interval: timedelta) -> Iterable[datetime]:
    edge = _around(start, interval).start
    while edge <= end:
        yield edge
        edge += interval


def flows_of(known: Known, within: Sequence[Piece]) -> tuple[tuple[Piece, Flow], ...]:
    """What flowed at one plug-in, cut by the pieces, where its permission changed, and where what an event commanded
    began, ended or had another price. The energy of the parts is that of the whole."""
    found: list[tuple[Piece, Flow]] = []
    known = replace(known, readings=sorted(known.readings, key=_at))
    for piece in within:
        here = Span(known.plug_in.plugged_at, known.plug_in.unplugged_at or piece.end).within(
            Span(piece.start, piece.end)
        )
        for part in stretches(known.history, here.start, here.end):
            held, possible = (known.in_force, known.possible) if part.permitted else ((), ())
            tariffs = Tariffs(tariff_per_kwh=piece.tariff_per_kwh, events=known.events, history=known.history)
            found += [
                (piece, _flow(known, piece, part.permitted, run))
                for run in runs(held, part.start, part.end, tariffs, possible)
            ]
    return tuple(found)


def seen_in(readings: Sequence[StoredReading], whole: Span) -> list[StoredReading]:
    """The readings in a market interval, with the nearest before and after of each register, as the store gives them:
    a report over many intervals then says of each what is booked for it. ``readings``: by time."""
    first = bisect_left(readings, whole.start, key=_at)
    last = bisect_right(readings, whole.end, key=_at)
    before, after = _edges(reversed(readings[:first])), _edges(readings[last:])
    return [*reversed(before), *readings[first:last], *after]


def _edges(readings: Iterable[StoredReading]) -> list[StoredReading]:
    """Those up to the first that has each register, and the first that a transaction told."""
    missing, found = set(_REGISTERS), []
    for stored in readings:
        if here := {name for name in missing if _has(stored, name)}:
            missing -= here
            found.append(stored)
        if not missing:
            break
    return found


def _has(stored: StoredReading, register: str) -> bool:
    if stored.is_of_transaction or register == "transaction":
        return stored.is_of_transaction and register == "transaction"
    return getattr(stored.reading, register) is not None


def _at(stored: StoredReading) -> datetime:
    return stored.reading.at


def _flow(known: Known, piece: Piece, permitted: bool, run: Run) -> Flow:  # noqa: FBT001
    plug_in = known.plug_in
    whole = Span(plug_in.plugged_at, plug_in.unplugged_at or piece.interval.end).within(piece.interval)
    readings = seen_in(known.readings, whole)
    return Flow(
        plug_in=plug_in,
        energy=energy_in_window(plug_in.evse, readings, run.start, run.end, known.max_w, whole=whole),
        tariff_per_kwh=piece.tariff_per_kwh,
        permitted=permitted,
        command=run.command,
        unconfirmed=run.unconfirmed,
        currency=piece.currency,
    )
