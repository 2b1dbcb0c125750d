"""Policies plug in: named, versioned, chosen in the configuration, and bounded. Issue 5 §2."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.dr import Direction
from csms.domain.errors import BadSettings
from csms.domain.ids import UserId
from csms.domain.snapshot import Snapshot, Terms
from csms.plugs import chosen
from csms.settings import PolicySettings
from policies import decide
from policies.constraints import safe_decision, violations
from policies.plugs import Available, Plug, Policies
from policies.registry import DEFAULT, REGISTRY, UnknownPlug, choose
from tests.policies.fleets import NOW, event, resource, site, snapshot, snapshots

EXAMPLE = Path(__file__).parents[1] / "plugin_example"


def test_a_decision_states_the_names_and_versions_of_what_decided() -> None:
    assert decide(snapshot(resource())).policies == "objective=merit-1 baseline=frozen-1"


def test_the_registry_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        REGISTRY["objective"] = {}  # type: ignore[index]
    with pytest.raises(TypeError):
        REGISTRY["objective"]["mine-1"] = None  # type: ignore[index]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"objektive": "merit-1"}, "policies.objektive: there is no such kind of plug; known: adders, availability"),
        ({"objective": "merit-2"}, "policies.objective: there is no plug 'merit-2'; known: merit-1"),
        ({"adders": ("gold-1",)}, "policies.adders: there is no plug 'gold-1'; known: none"),
        ({"baseline": ()}, "policies.baseline: exactly one is needed, 0 are given"),
    ],
)
def test_a_wrong_name_is_answered_with_the_key_and_what_there_is(names: dict[str, Any], said: str) -> None:
    with pytest.raises(UnknownPlug) as error:
        choose(names)
    assert said in str(error.value)


def test_no_outside_plug_takes_the_name_of_one_that_comes_with_the_product() -> None:
    with pytest.raises(UnknownPlug, match="merit-1 comes with the product"):
        choose({}, {"objective": {"merit-1": DEFAULT.objective}})


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example package, as pip leaves it: a module and its dist-info on the path."""
    monkeypatch.syspath_prepend(str(EXAMPLE))


@pytest.mark.usefixtures("installed")
def test_a_plug_of_another_package_works_through_its_entry_point() -> None:
    found = chosen(PolicySettings(availability=("nights-1",), adders=("house-bonus-2",)))
    fleet = [resource(1), resource(2, site="house")]
    state = snapshot(*fleet, sites=(site(), site("house")), events=(event(requested_w=100_000),))
    by_day, by_night = decide(state, found), decide(replace(state, now=NOW.replace(hour=23)), found)
    assert [s.setpoint_w for s in by_day.setpoints] == [0, 0]
    assert by_day.policies.endswith("availability=nights-1 adders=house-bonus-2")
    asked = event(starts_at=NOW, ends_at=NOW + timedelta(days=1))
    by_night = decide(replace(state, now=NOW.replace(hour=23), events=(asked,)), found)
    assert [(s.setpoint_w, s.price_per_kwh) for s in by_night.setpoints] == [(-6000, Decimal(50)), (-6000, Decimal(57))]


@pytest.mark.usefixtures("installed")
def test_an_adder_may_give_more_to_one_user_and_the_corridor_reads_the_same_price() -> None:
    """P5, P11: the event pays 50; who asks 55 is discharged as a member, with 7 more, and not otherwise."""
    found = chosen(PolicySettings(adders=("member-bonus-1",)))
    asks = Terms(charge=False, min_sell_per_kwh=Decimal(55))
    fleet = [replace(resource(n, terms=asks), user=UserId(user)) for n, user in enumerate(("u-aoi", "u-ken"), 1)]
    state = snapshot(*fleet, events=(event(requested_w=100_000),))
    decision = decide(state, found)
    assert [(s.setpoint_w, s.price_per_kwh) for s in decision.setpoints] == [(-6000, Decimal(57)), (0, None)]
    assert violations(state, decision) == ()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "said"), [("broken-1", "must be a policies.plugs.Plug"), ("gone-1", "cannot be loaded")]
)
def test_an_entry_point_that_is_no_plug_stops_the_start_by_its_name(name: str, said: str) -> None:
    with pytest.raises(BadSettings, match=said) as error:
        chosen(PolicySettings(adders=(name,)))
    assert f"adders.{name}" in str(error.value)


def test_without_its_package_a_plug_is_not_there() -> None:
    with pytest.raises(BadSettings, match=r"policies.availability: there is no plug 'nights-1'"):
        chosen(PolicySettings(availability=("nights-1",)))


def with_plugs(
    objective: Any = DEFAULT.objective.run, availability: Sequence[Any] = (), adders: Sequence[Any] = ()
) -> Policies:
    return replace(
        DEFAULT,
        objective=Plug("o", 1, objective),
        availability=tuple(Plug("a", n, run) for n, run in enumerate(availability)),
        adders=tuple(Plug("p", n, run) for n, run in enumerate(adders)),
    )


wild_costs = st.tuples(st.floats(), st.floats())
wild_bounds = st.none() | st.integers(-(10**6), 10**6)
wild_adders = st.decimals()


@given(snapshots(), wild_costs, wild_bounds, wild_bounds, wild_adders)
def test_whatever_a_plug_returns_what_is_dispatched_keeps_every_rule(
    state: Snapshot, cost: tuple[float, float], charge_w: int | None, discharge_w: int | None, added: Decimal
) -> None:
    policies = with_plugs(
        lambda evse, market, asked, price: cost,
        [lambda evse, now: Available(charge_w=charge_w, discharge_w=discharge_w)],
        [lambda evse, asked, now: added],
    )
    safe, _ = safe_decision(state, decide(state, policies))
    assert violations(state, safe) == ()


def test_an_objective_decides_who_moves_first() -> None:
    """Here: the station with the greatest number."""
    fleet = [resource(n, terms=Terms(charge=False, required_wh=12_000)) for n in (1, 2, 3)]

    def last_first(evse: Any, market: Any, asked: Any, price: Any) -> tuple[float, float]:
        cost = -float(str(evse.ref.station).removeprefix("s"))
        return cost, cost

    decision = decide(snapshot(*fleet, events=(event(requested_w=6000),)), with_plugs(last_first))
    assert [s.setpoint_w for s in decision.setpoints] == [0, 0, -6000]


def test_a_required_charge_stands_above_every_availability() -> None:
    """P7."""
    nothing = with_plugs(availability=[lambda evse, now: Available(charge_w=0, discharge_w=0)])
    due = resource(1, terms=Terms(required_wh=39_000))
    state = snapshot(due, resource(2))
    assert [s.setpoint_w for s in decide(state, nothing).setpoints] == [7000, 0]


def test_adders_sum_up_and_no_plug_takes_from_what_was_promised() -> None:
    adders = [
        lambda evse, asked, now: Decimal(3),
        lambda evse, asked, now: Decimal(-40),
        lambda evse, asked, now: Decimal(4),
    ]
    (down,) = decide(snapshot(resource(), events=(event(),)), with_plugs(adders=adders)).setpoints
    assert down.price_per_kwh == Decimal(57)
    picky = resource(terms=Terms(max_buy_per_kwh=Decimal(5)))
    (up,) = decide(snapshot(picky, events=(event(Direction.UP),)), with_plugs(adders=adders)).setpoints
    assert (up.setpoint_w, up.price_per_kwh) == (7000, Decimal(3))
