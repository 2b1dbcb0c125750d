"""The server itself, in virtual time: its report of an event and its ledger against the truth and the paired run."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from csms.domain.conditions import Conditions
from csms.domain.ledger import EntryKind
from simulators.twin.cases import Case, MeterSpec, PowerTold
from tests.truth.controlled import Controlled, controlled
from tests.truth.kit import case, charging_car, down, v2g_car, visit

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("control truth")]
HOURS = 4.0
COARSE = MeterSpec(tells_soc=False, step_wh=100.0)
SILENT = MeterSpec(tells_soc=False, step_wh=10.0, power=PowerTold.NOTHING)


def street() -> Case:
    """A full and a half-full V2G vehicle, two that only charge, and a full one behind a weak connection."""
    visits = (
        visit(v2g_car(1.0), hours=HOURS, number=0, conditions=Conditions(required_soc_percent=40)),
        visit(v2g_car(0.6), hours=HOURS, number=1, conditions=Conditions(required_soc_percent=50)),
        visit(charging_car(0.2), hours=HOURS, number=2, meter=COARSE),
        visit(charging_car(0.3), hours=HOURS, number=3, meter=SILENT),
        visit(charging_car(1.0), hours=HOURS, number=4, meter=COARSE, offline=((3000, 3300), (5400, 6000))),
    )
    return case(*visits, hours=HOURS, limit_w=60_000, events=(down(25_000, 1, 3),))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Controlled, Controlled]:
    return asyncio.run(_with_and_without([tmp_path_factory.mktemp("truth") for _ in range(2)], street()))


async def _with_and_without(folders: Sequence[Path], played: Case) -> tuple[Controlled, Controlled]:
    return await controlled(folders[0], played), await controlled(folders[1], replace(played, events=()))


def true_wh(pair: tuple[Controlled, Controlled]) -> float:
    actual, without = pair
    span = (3600, 3 * 3600)
    return float((without.trail.net_wh(*span) - actual.trail.net_wh(*span)).sum())


def test_the_report_says_what_the_paired_run_says(pair: tuple[Controlled, Controlled]) -> None:
    """A1, A2, A16; G11."""
    assert true_wh(pair) > 30_000
    assert pair[0].delivered_wh == pytest.approx(true_wh(pair), rel=0.02)


def test_the_ledger_s_energies_are_those_that_went_through_the_plugs(pair: tuple[Controlled, Controlled]) -> None:
    """A8, P19."""
    actual = pair[0]
    bought = sum(booked(actual, EntryKind.PURCHASE))
    sold = sum(booked(actual, EntryKind.SALE))
    assert bought == pytest.approx(float(actual.trail.import_wh[-1].sum()), rel=0.01)
    assert sold == pytest.approx(float(actual.trail.export_wh[-1].sum()), rel=0.01)


def test_what_was_delivered_is_what_was_sold_to_the_event_or_rewarded(
    pair: tuple[Controlled, Controlled],
) -> None:
    """A12: discharge as a sale, stopped charging as a reward, at the event's 60 and at 30 above the tariff."""
    actual = pair[0]
    mine = [entry for entry in actual.entries if entry.event is not None]
    assert sum(entry.energy_wh for entry in mine) == pytest.approx(true_wh(pair), rel=0.02)
    assert {entry.price_per_kwh for entry in mine if entry.kind is EntryKind.SALE} == {Decimal(60)}
    assert {entry.price_per_kwh for entry in mine if entry.kind is EntryKind.REWARD} == {Decimal(30)}


def test_no_fuse_is_overloaded_by_the_server(pair: tuple[Controlled, Controlled]) -> None:
    """A3, A10."""
    assert [played.overload.seconds for played in pair] == [0, 0]


def booked(played: Controlled, kind: EntryKind) -> list[int]:
    return [entry.energy_wh for entry in played.entries if entry.kind is kind]


async def test_what_only_a_coarse_register_shows_is_used_and_the_report_says_what_is_booked(tmp_path: Path) -> None:
    """F9, A8, P19: 1 kWh steps and nothing else: 154 of 11,040 Wh, as it was taken for one that does not follow; and
    10,251 in the report where 11,040 were paid, as one saw more readings than the other."""
    coarse = MeterSpec(tells_soc=False, step_wh=1000.0, power=PowerTold.NOTHING)
    vehicle = visit(charging_car(0.3), hours=HOURS, meter=coarse)
    played = await controlled(tmp_path, case(vehicle, hours=HOURS, events=(down(60_000, 0.75, 2.25),)))
    assert sum(booked(played, EntryKind.REWARD)) == pytest.approx(11_040, abs=500)
    assert played.delivered_wh == sum(booked(played, EntryKind.REWARD))
