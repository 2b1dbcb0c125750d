"""Who may be probed, and at what price: each condition by itself. V2G-8, P4, P5, P7, P9, A11."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from csms.domain.snapshot import Battery, EvseState, Terms, Use
from policies.probe import may_probe, price_per_kwh
from tests.policies.fleets import NOW, resource, site, snapshot

BATTERY = Battery(capacity_wh=40_000, energy_wh=20_000, max_charge_w=7000, max_discharge_w=6000)
WILLING = Terms(required_wh=12_000, departure_at=NOW + timedelta(hours=8))


def asked(**changes: Any) -> EvseState:
    return resource(terms=replace(WILLING, **changes))


CASES: dict[str, tuple[EvseState, bool]] = {
    "plenty to spare": (asked(), True),
    "a hundred Wh to spare": (resource(terms=WILLING, battery=replace(BATTERY, energy_wh=12_100)), False),
    "three kWh to spare that may not be there": (
        resource(terms=WILLING, battery=replace(BATTERY, energy_wh=15_000, error_wh=2_900)),
        False,
    ),
    "less added than was to be": (replace(asked(required_wh=0, required_added_wh=5000.0), added_wh=4000.0), False),
    "a little more added than was to be": (
        replace(asked(required_wh=0, required_added_wh=5000.0), added_wh=5100.0),
        False,
    ),
    "much more added than was to be": (replace(asked(required_wh=0, required_added_wh=5000.0), added_wh=9000.0), True),
    "its slot is over": (asked(permitted_until=NOW - timedelta(seconds=1)), False),
    "its slot is open": (asked(permitted_until=NOW + timedelta(hours=1)), True),
    "no yes": (replace(asked(), use=Use.PLAIN), False),
    "a yes to all but discharge": (asked(discharge=False), False),
    "nobody told its state of charge": (resource(terms=WILLING, battery=replace(BATTERY, is_told=False)), False),
    "five times the tariff": (asked(min_sell_per_kwh=Decimal(150)), True),
    "more than that": (asked(min_sell_per_kwh=Decimal(151)), False),
}


@pytest.mark.parametrize(("evse", "expected"), CASES.values(), ids=CASES)
def test_a_vehicle_is_probed_exactly_where_nothing_speaks_against_it(evse: EvseState, expected: bool) -> None:
    """The tariff is 30; a probe is 1 kW for two minutes at most."""
    assert may_probe(evse, snapshot(evse)) is expected


@pytest.mark.parametrize(("limit_w", "expected"), [(1_500, False), (2_000, True)])
def test_what_another_feeds_in_anyway_leaves_less_of_the_export_limit(limit_w: int, expected: bool) -> None:
    """V2G-8: 1 kW flows out at another EVSE that nobody steers."""
    evse, other = asked(), resource(2, uncontrolled_w=-1000)
    assert may_probe(evse, snapshot(evse, other, sites=(site(limit_w=limit_w),))) is expected


@pytest.mark.parametrize(("asks", "price"), [(None, 30), (20, 30), (50, 50)])
def test_a_probe_pays_the_tariff_or_what_the_user_asks_where_that_is_more(asks: int | None, price: int) -> None:
    """P5, A11."""
    assert price_per_kwh(asked(min_sell_per_kwh=None if asks is None else Decimal(asks)), Decimal(30)) == price
