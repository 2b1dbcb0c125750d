"""What the server states, held against the world and against the paired run: the same case without the DR event."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from csms.domain.dr import Direction
from csms.domain.ledger import EntryKind, user_account
from csms.domain.permission import PermissionState
from simulators.twin.cases import Case
from simulators.twin.dues import Pair, tariff_at, true_minor
from simulators.twin.loop import Run
from simulators.twin.sight import Sight

ENOUGH = 0.01
"""Of the capacity: a required charge that is missed by less was met (stations tell whole percents)."""
NEVER_WH = 50.0
"""Less than a minute of a discharge that is being ended is no breach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure as the server states it and as it is. ``error``: relative to the truth; None = both are nothing."""

    name: str
    stated: float
    true: float

    @property
    def error(self) -> float | None:
        if self.true == 0:
            return None if self.stated == 0 else float("inf")
        return abs(self.stated - self.true) / abs(self.true)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaches:
    """What must be nothing. ``unmet``: required charges missed that the paired run met; ``over_promised``: batteries
    taken to hold more than they did, its stated error allowed."""

    unmet: int
    unmet_without_event: int
    fuse_overload_w: float
    fuse_overload_s: int
    below_min_sell_wh: float
    over_promised: int
    violations: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A run held against the truth. ``worst_vehicle``: the greatest relative error of a vehicle's energy, beyond what
    one step of its register hides. ``soc_error``: mean absolute, percent points, where it was told."""

    figures: tuple[Figure, ...]
    worst_vehicle: float
    soc_error: float
    breaches: Breaches

    def figure(self, name: str) -> Figure:
        return next(figure for figure in self.figures if figure.name == name)

    def as_json(self) -> dict[str, Any]:
        figures = {figure.name: asdict(figure) | {"error": figure.error} for figure in self.figures}
        return {
            "figures": {name: {k: v for k, v in values.items() if k != "name"} for name, values in figures.items()},
            "worst_vehicle_energy_error": self.worst_vehicle,
            "soc_error_percent_points": self.soc_error,
            "breaches": asdict(self.breaches),
        }


def compared(case: Case) -> Comparison:
    """Play a case with and without its event, and compare. The case has one event."""
    return comparison(Pair.of(case))


def comparison(pair: Pair) -> Comparison:
    stated_wh, true_wh = sum(float(result.delivered_wh) for result in pair.books.results), delivered_wh(pair)
    requested_wh = pair.event.requested_w * (pair.event.stops_at - pair.event.starts_at).total_seconds() / 3600
    figures = (
        *_energies(pair),
        Figure(name="delivered_wh", stated=stated_wh, true=true_wh),
        Figure(name="achievement", stated=stated_wh / requested_wh, true=true_wh / requested_wh),
        Figure(name="earned_minor", stated=_stated_minor(pair, earned=True), true=true_minor(pair)[0]),
        Figure(name="spent_minor", stated=_stated_minor(pair, earned=False), true=true_minor(pair)[1]),
    )
    return Comparison(
        figures=figures,
        worst_vehicle=max((_vehicle_error(pair, place) for place in range(len(pair.case.visits))), default=0.0),
        soc_error=_soc_error(pair.actual),
        breaches=_breaches(pair),
    )


def delivered_wh(pair: Pair) -> float:
    """What the event really moved: the paired run less what flowed, over all vehicles, in the event's direction."""
    span = pair.second(pair.event.starts_at), pair.second(pair.event.stops_at)
    moved = float((pair.without.trail.net_wh(*span) - pair.actual.trail.net_wh(*span)).sum())
    return moved if pair.event.direction is Direction.DOWN else -moved


def _energies(pair: Pair) -> tuple[Figure, ...]:
    trail = pair.actual.trail
    return (
        Figure(
            name="import_wh",
            stated=float(sum(energy.import_wh for energy in pair.books.energies)),
            true=float(trail.import_wh[-1].sum()),
        ),
        Figure(
            name="export_wh",
            stated=float(sum(energy.export_wh for energy in pair.books.energies)),
            true=float(trail.export_wh[-1].sum()),
        ),
        Figure(
            name="booked_import_wh",
            stated=float(sum(entry.energy_wh for entry in pair.books.entries if entry.kind is EntryKind.PURCHASE)),
            true=float(trail.import_wh[-1].sum()),
        ),
        Figure(
            name="booked_export_wh",
            stated=float(sum(entry.energy_wh for entry in pair.books.entries if entry.kind is EntryKind.SALE)),
            true=float(trail.export_wh[-1].sum()),
        ),
        Figure(
            name="live_added_wh",
            stated=sum(sight.meter.added_wh for sight in pair.actual.sights),
            true=float((trail.import_wh[-1] - trail.export_wh[-1]).sum()),
        ),
    )


def _vehicle_error(pair: Pair, place: int) -> float:
    """Of one vehicle's energy through the plug, beyond one step of its register."""
    sight, trail = pair.actual.sights[place], pair.actual.trail
    energy = next((energy for energy in pair.books.energies if energy.evse == sight.ref), None)
    if energy is None:
        return 0.0
    pairs = ((energy.import_wh, trail.import_wh), (energy.export_wh, trail.export_wh))
    errors = [_beyond(float(stated), float(true[-1][place]), sight.visit.meter.step_wh) for stated, true in pairs]
    return max(errors)


def _beyond(stated_wh: float, true_wh: float, step_wh: float) -> float:
    hidden = max(0.0, abs(stated_wh - true_wh) - step_wh)
    return hidden / max(true_wh, step_wh)


def _soc_error(actual: Run) -> float:
    told = [
        100 * abs(each.battery.energy_wh - each.true_wh) / each.battery.capacity_wh
        for each in actual.believed
        if each.battery.is_told
    ]
    return sum(told) / len(told) if told else 0.0


def _stated_minor(pair: Pair, *, earned: bool) -> float:
    """By the ledger: what users are credited, or charged."""
    amounts = (
        posting.amount_minor
        for entry in pair.books.entries
        for posting in entry.postings
        if posting.account == user_account(entry.user) and (entry.kind is not EntryKind.PURCHASE) == earned
    )
    return float(abs(sum(amounts)))


def _breaches(pair: Pair) -> Breaches:
    actual = pair.actual
    missed, missed_anyway = _missed(actual), _missed(pair.without)
    return Breaches(
        unmet=len(missed - missed_anyway),
        unmet_without_event=len(missed_anyway),
        fuse_overload_w=actual.overload.worst_w,
        fuse_overload_s=actual.overload.seconds,
        below_min_sell_wh=sum(_below_min_sell_wh(pair)),
        over_promised=sum(
            each.true_wh < each.battery.energy_wh - each.battery.error_wh - 1 for each in actual.believed
        ),
        violations=dict(actual.violations),
    )


def _missed(actual: Run) -> frozenset[int]:
    """Places whose vehicle left with less than its driver required."""
    return frozenset(place for place, sight in enumerate(actual.sights) if _lacking_wh(actual, place, sight) > 0)


def _lacking_wh(actual: Run, place: int, sight: Sight) -> float:
    plug_in, visit = sight.plug_in, sight.visit
    if plug_in.unplugged_at is None or plug_in.permission.state is not PermissionState.GRANTED:
        return 0.0
    trail, row = actual.trail, visit.leaves_s // 60
    capacity, energy = visit.car.capacity_wh, float(trail.energy_wh[row][place])
    if energy >= capacity * (1 - ENOUGH):
        return 0.0
    if visit.conditions.required_kwh is not None:
        added = float(trail.net_wh(visit.arrives_s, visit.leaves_s)[place])
        return max(0.0, float(visit.conditions.required_kwh) * 1000 - added - ENOUGH * capacity)
    return max(0.0, capacity * (visit.conditions.required_soc_percent / 100 - ENOUGH) - energy)


def _below_min_sell_wh(pair: Pair) -> Iterable[float]:
    """Energy that went out of a vehicle although nothing paid what its driver wants."""
    span = pair.second(pair.event.starts_at), pair.second(pair.event.stops_at)
    for place, sight in enumerate(pair.actual.sights):
        inside = float(pair.actual.trail.exported_wh(*span)[place])
        outside = float(pair.actual.trail.export_wh[-1][place]) - inside
        least = sight.visit.conditions.min_sell_per_kwh
        pays = pair.event.unit_price(tariff_at(pair, sight, span[0]))
        if outside > NEVER_WH:
            yield outside
        if inside > NEVER_WH and least is not None and pays < least and not sight.visit.conditions.entrust:
            yield inside


def summary(played: Run) -> dict[str, Any]:
    """What a run came to, without a paired one."""
    trail = played.trail
    return {
        "vehicles": len(played.case.visits),
        "import_wh": round(float(trail.import_wh[-1].sum()), 1),
        "export_wh": round(float(trail.export_wh[-1].sum()), 1),
        "unmet": len(_missed(played)),
        "fuse_overload_w": round(played.overload.worst_w, 1),
        "violations": dict(played.violations),
    }


def lines(result: Mapping[str, Any]) -> Iterable[str]:
    """A result for people: one line per figure."""
    for name, value in result.items():
        if isinstance(value, Mapping):
            yield f"{name}:"
            yield from (f"  {line}" for line in lines(value))
        else:
            yield f"{name}: {value}"
