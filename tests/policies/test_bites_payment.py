"""What may never be paid, and what must be: one sharp case each. P1, P19, A6; finding D3."""

from dataclasses import replace
from decimal import Decimal

import pytest

from csms.domain.dr import Direction
from csms.domain.facts import Reading
from csms.domain.ledger import EntryKind
from csms.domain.metering import Quality, StoredReading
from csms.domain.permission import PlugIn
from csms.domain.tariff import PriceSeries, PriceStep
from policies.commands import Tariffs, runs
from policies.delivery import dr_results
from policies.flows import Flow, Known, flows_of, pieces
from policies.fullness import Meter, full_at
from policies.in_force import in_force
from policies.settlement import ledger_entries
from tests.policies.test_fullness import EVSE, PLUG, START, minute, setpoint
from tests.policies.test_settlement import commanded, event, flow

HALF_HOUR = minute(30) - START


def yen(metered: Flow) -> dict[EntryKind, int]:
    """What the user gets of one half hour, by kind."""
    made = ledger_entries([metered], {}, "JPY", minute(40))
    return {entry.kind: entry.postings[0].amount_minor for entry in made}


def test_three_kilowatt_hours_that_were_not_charged_for_an_event_earn_what_it_pays_above_the_tariff() -> None:
    """P19, A12: 3 kWh would have flowed at a tariff of 30; the event pays 42: 12 more on each."""
    stopped = flow(command=commanded(counterfactual_wh=Decimal(3000), commanded_wh=Decimal(3000)))
    assert yen(stopped) == {EntryKind.REWARD: 36}


@pytest.mark.parametrize(("imported", "exported"), [("0", "0"), ("0", "5000"), ("5000", "0")])
def test_what_was_not_metered_earns_nothing_costs_nothing_and_was_not_delivered(imported: str, exported: str) -> None:
    """P19: whatever the figures say, a stretch that is MISSING is nobody's, in the ledger and in the report."""
    metered = flow(imported=imported, exported=exported, command=commanded(counterfactual_wh=Decimal(3000)))
    missing = replace(metered, energy=replace(metered.energy, quality=Quality.MISSING))
    assert yen(missing) == {}
    (result,) = dr_results(event(), [missing])
    assert result.delivered_wh == result.within_wh == 0


def test_what_is_short_of_a_command_is_not_made_up_by_what_another_gives_too_much() -> None:
    """P19: two vehicles were asked for 3 kWh each; one gives 1, the other 5: 1 + 3 are within what was asked."""
    results = dr_results(
        event(),
        [
            flow(1, exported="1000", command=commanded(commanded_wh=Decimal(3000))),
            flow(2, exported="5000", command=commanded(commanded_wh=Decimal(3000))),
        ],
    )
    assert [result.within_wh for result in results] == [1000, 3000]
    assert sum(result.delivered_wh for result in results) == 6000


def test_what_flowed_before_the_cable_went_in_is_not_its_users() -> None:
    """P1: the vehicle before took 2 kWh in the first quarter, this one 1 kWh in the second."""
    registers = [(0, 0.0), (15, 2000.0), (30, 3000.0)]
    readings = [
        StoredReading(id=n, reading=Reading(at=minute(at), import_wh=wh), received_at=minute(at), message_id=f"m{n}")
        for n, (at, wh) in enumerate(registers)
    ]
    known = Known(
        plug_in=PlugIn(id=PLUG, evse=EVSE, plugged_at=minute(15)), history=(), readings=readings, max_w=11_000
    )
    flat = PriceSeries(currency="JPY", steps=(PriceStep(START, Decimal(30)),))
    found = flows_of(known, pieces((START, minute(30)), HALF_HOUR, flat))
    assert [(each.energy.start, each.energy.import_wh) for _, each in found] == [(minute(15), Decimal(1000))]


def test_a_vehicle_that_charges_slowly_is_not_full() -> None:
    """A6: 500 W for hours is a trickle into a large battery, and a register of 10 Wh shows it."""
    readings = [
        StoredReading(
            id=n + 1,
            reading=Reading(at=minute(n), import_wh=float(n * 500 / 60 // 10 * 10)),
            received_at=minute(n),
            message_id="m",
        )
        for n in range(0, 301, 5)
    ]
    seen = Meter(evse=EVSE, plugged_at=START, readings=readings, max_w=7_360)
    assert full_at(seen, in_force([setpoint(0, 300, 7000)], PLUG)) is None


def test_an_upward_command_is_what_is_asked_above_the_counterfactual() -> None:
    """P19: 9 kW where 7 would flow, for half an hour: 1 kWh; a setpoint below them asks for nothing upwards."""
    up = event(Direction.UP, price_per_kwh=Decimal(18), incentive_per_kwh=None)
    tariffs = Tariffs(tariff_per_kwh=Decimal(30), events={up.id: up})
    for power_w, asked_wh in ((9000, 1000), (3000, 0)):
        spans = in_force([setpoint(0, 30, power_w, up.id)], PLUG)
        (run,) = runs(spans, START, minute(30), tariffs)
        assert run.command is not None
        assert (run.command.direction, run.command.commanded_wh) == (Direction.UP, Decimal(asked_wh))
