"""The main job: a vehicle plugs in, its user is asked, it charges and discharges as the grid needs, and is paid."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from simulators.behaviours import combined
from simulators.ev import Ev
from simulators.evse import Meter
from simulators.station import Station
from tests.e2e.conftest import ON_SQLITE, MakeWorld
from tests.e2e.driver import Driver
from tests.e2e.world import TARIFF_PER_KWH, V2G, VERSIONS, World, asked, car, until

EVENT_PRICE = 9000
FULL_W = 7360
READY = {"min_sell_per_kwh": "5000", "required_soc_percent": 30}


@dataclass(frozen=True, slots=True)
class Visit:
    """One vehicle at one station, with its driver; ``before`` is the meter as it was."""

    station: Station
    driver: Driver
    before: Meter

    @property
    def power_w(self) -> float:
        return self.station.evse().meter.power_w

    @property
    def imported_wh(self) -> float:
        return self.station.evse().meter.import_wh - self.before.import_wh

    @property
    def exported_wh(self) -> float:
        return self.station.evse().meter.export_wh - self.before.export_wh

    async def flows(self, power_w: float) -> None:
        """Until about this much flows."""
        await self.station.until(lambda: abs(self.power_w - power_w) < 300, 60)


async def visit(world: World, version: str, ev: Ev | None = None, **vehicle: Any) -> Visit:
    """A new driver at a new station; the cable is in."""
    station = await world.station(V2G[version])
    driver = await world.driver(station.spec.id, **vehicle)
    before = station.evse().meter
    station.plug(ev or car())
    return Visit(station, driver, before)


async def permitted(world: World, version: str, **conditions: Any) -> Visit:
    """A vehicle that charges with its user's yes."""
    here = await visit(world, version)
    await here.driver.sees_permission("asked")
    await here.driver.answer(granted=True, **(READY | conditions))
    await here.flows(FULL_W)
    return here


async def over(world: World, event: dict[str, Any]) -> dict[str, Any]:
    """End an event now; its report. (A probe needs an event that outlasts a setpoint, so they are made long.)"""
    assert (await world.api.delete(f"/api/v1/dr-events/{event['id']}")).is_success
    return await world.get(f"/dr-events/{event['id']}")


async def decisions(world: World) -> None:
    """Let the server decide a few times more."""
    for _ in range(4):
        await world.daemon.system.rooms.dispatch.tick()


async def settled(world: World, here: Visit) -> list[dict[str, Any]]:
    """The user's ledger entries once all that was metered is booked, each of them checked to the yen."""

    async def look() -> Any:
        found = (await world.get("/ledger", user=here.driver.id, limit=500))["items"]
        slack = 1 + len(found) / 2  # every entry is rounded to whole Wh
        return found if is_near(found, "sale", here.exported_wh, slack) and is_near(
            found, "purchase", here.imported_wh, slack
        ) else None  # fmt: skip

    entries = await until(look, "the ledger to say what the meter says", 60)
    for entry in entries:
        own = sum(p["amount_minor"] for p in entry["postings"] if p["account"] == f"user:{here.driver.id}")
        sign = -1 if flow_of(entry) == "purchase" else 1
        assert own == sign * entry["energy_wh"] * Decimal(entry["price_per_kwh"]) / 1000
        assert sum(posting["amount_minor"] for posting in entry["postings"]) == 0
        assert entry["evidence"]["readings"]
    return entries


def flow_of(entry: dict[str, Any]) -> str:
    """ "sale", "purchase" or "reward", also of a correction."""
    return entry["cause"].rsplit(":", 1)[1].split("-")[0]


def is_near(entries: list[dict[str, Any]], flow: str, metered_wh: float, slack_wh: float) -> bool:
    return abs(sum(entry["energy_wh"] for entry in entries if flow_of(entry) == flow) - metered_wh) <= slack_wh


async def check_balance(world: World, here: Visit) -> dict[str, Any]:
    """The balance is the sum of the ledger (which may still grow by a late Wh); that balance."""

    async def look() -> Any:
        entries = (await world.get("/ledger", user=here.driver.id, limit=500))["items"]
        balance = await world.get(f"/users/{here.driver.id}/balance")
        sums = [sum(e["energy_wh"] for e in entries if flow_of(e) == flow) for flow in ("sale", "purchase")]
        return balance if sums == [balance["sold_wh"], balance["bought_wh"]] else None

    balance = await until(look, "the balance to be the sum of the ledger")
    assert balance["amount_minor"] == balance["earned_minor"] + balance["rewarded_minor"] - balance["spent_minor"]
    assert balance["spent_minor"] == balance["bought_wh"] * TARIFF_PER_KWH / 1000
    assert balance["currency"] == "JPY"
    return balance


@pytest.mark.parametrize("version", VERSIONS)
async def test_asked_permitted_discharged_metered_and_paid(world: World, version: str) -> None:
    """P2-P4, P12, P13, P19, G11."""
    here = await visit(world, version)
    asked = await here.driver.sees_permission("asked")
    assert (asked["plug_in"]["station"], here.imported_wh) == (here.station.spec.id, 0)
    await here.driver.answer(granted=True, **READY)
    await here.flows(FULL_W)

    event = await world.event(FULL_W + 4000, seconds=60, price=EVENT_PRICE)
    await here.driver.sees(lambda page: (page["plug_in"]["power_w"] or 0) < -3500, "the discharge")
    assert abs(here.power_w + 4000) < 300
    seen = (await world.get(f"/dr-events/{event['id']}"))["evses"][0]
    assert (seen["desired_w"], seen["acknowledged_w"]) == (-4000, -4000)
    assert "dr_discharge" in seen["reasons"]

    await here.station.until(lambda: here.exported_wh > 8, 60)  # more than the rounding of its entries
    report = await over(world, event)
    assert 0 < report["delivered_wh"] <= report["requested_wh"] * 1.1
    assert report["allotted_wh"] > 0
    await here.flows(FULL_W)

    await here.driver.sees(lambda page: page["plug_in"] is not None, "the plug-in")
    here.station.unplug()
    await world.closed_transaction(here.station.spec.id)
    entries = await settled(world, here)
    sales = [entry for entry in entries if flow_of(entry) == "sale" and entry["event"] == event["id"]]
    assert {Decimal(entry["price_per_kwh"]) for entry in sales} == {Decimal(EVENT_PRICE)}
    assert sum(entry["energy_wh"] for entry in sales) >= 2
    assert (await check_balance(world, here))["earned_minor"] > 0


@ON_SQLITE
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_no_and_a_silence_mean_plain_charging_and_never_a_discharge(
    make_world: MakeWorld, version: str
) -> None:
    """P4: only the vehicle whose user said yes answers the event."""
    async with make_world(permission={"question_timeout_s": 2.0, "debounce_s": 0.0}) as world:
        yes, no, silent = await asyncio.gather(*(visit(world, version) for _ in range(3)))
        for here in (yes, no, silent):
            await here.driver.sees_permission("asked")
        await yes.driver.answer(granted=True, **READY)
        await no.driver.answer(granted=False)
        assert silent.imported_wh == 0
        await no.flows(FULL_W)
        await silent.driver.sees_permission("expired")
        await silent.flows(FULL_W)
        await world.event(3 * FULL_W + 5000, seconds=60, price=EVENT_PRICE)
        await yes.station.until(lambda: yes.power_w < -4500, 60)
        assert min(no.power_w, silent.power_w) > FULL_W - 300
        await decisions(world)
        assert (no.exported_wh, silent.exported_wh) == (0, 0)
        assert (await no.driver.state())["plug_in"]["permission"]["state"] == "refused"
        assert (await world.get("/summary"))["discharged_without_permission_wh"] == 0


@ON_SQLITE
@pytest.mark.parametrize("version", ["2.1"])
async def test_nobody_is_discharged_below_the_price_they_ask(world: World, version: str) -> None:
    """P5: the same vehicle answers the event that pays enough, and not the one that pays a yen too little."""
    here = await permitted(world, version, min_sell_per_kwh=str(EVENT_PRICE))
    event = await world.event(FULL_W + 5000, seconds=60, price=EVENT_PRICE)
    await here.flows(-5000)
    await over(world, event)
    await here.flows(FULL_W)
    exported_wh = here.exported_wh
    await world.event(FULL_W + 5000, seconds=60, price=EVENT_PRICE - 1)
    await here.flows(0)  # not charging is asked of it all the same
    await here.driver.sees(lambda page: "price_below_min_sell" in page["plug_in"]["reasons"], "why it does not sell")
    await decisions(world)
    assert here.exported_wh == exported_wh


@ON_SQLITE
@pytest.mark.parametrize("version", ["1.6"])
async def test_the_required_charge_comes_first_whatever_the_price(world: World, version: str) -> None:
    """P6, P7: charged up to it though the price is too high, not above it, and never discharged below it."""
    small = car(49.9, capacity_wh=5000)
    here = await visit(world, version, small, capacity_wh=5000)
    await here.driver.sees_permission("asked")
    await here.driver.answer(granted=True, required_soc_percent=50, max_buy_per_kwh="1", min_sell_per_kwh="1")
    await here.station.until(lambda: here.imported_wh > 1, 60)
    await here.driver.sees(lambda page: page["plug_in"]["soc_percent"] >= 50, "the required charge")
    await here.flows(0)
    await world.event(5000, seconds=60, price=EVENT_PRICE)
    await decisions(world)
    assert here.exported_wh == 0
    assert here.station.evse().ev is not None
    assert 0.499 <= here.station.evse().ev.soc < 0.52  # the station rounds to a tenth


@pytest.mark.parametrize("version", ["2.0.1"])
async def test_a_vehicle_is_charged_for_the_aggregator_only_at_its_price(world: World, version: str) -> None:
    """P6, P12 upwards: the tariff is too high for it, the event's price is not."""
    here = await visit(world, version)
    await here.driver.sees_permission("asked")
    await here.driver.answer(granted=True, required_soc_percent=30, max_buy_per_kwh="2000")
    await here.driver.sees(lambda page: "price_above_max_buy" in page["plug_in"]["reasons"], "why it does not charge")
    await here.flows(0)
    before_wh = here.imported_wh
    event = await world.event(5000, direction="up", seconds=60, price=1000)
    await here.flows(5000)
    await here.station.until(lambda: here.imported_wh > before_wh + 4, 60)
    await over(world, event)
    await here.flows(0)
    here.station.unplug()
    entries = await settled(world, here)
    in_event = [entry for entry in entries if entry["event"] == event["id"] and entry["energy_wh"] > 0]
    assert {Decimal(entry["price_per_kwh"]) for entry in in_event} == {Decimal(1000)}


@ON_SQLITE
@pytest.mark.parametrize("version", ["2.1"])
async def test_a_permitted_time_slot_answers_by_itself(world: World, version: str) -> None:
    """P9: plugging in within it needs no question."""
    station = await world.station(V2G[version])
    driver = await world.driver(station.spec.id)
    await driver.keep(**READY, slots=[{"start": "00:00", "end": "00:00"}])
    here = Visit(station, driver, station.evse().meter)
    station.plug(car())
    page = await driver.sees_permission("granted")
    assert (page["plug_in"]["permission"]["channel"], page["plug_in"]["permission"]["asked_at"]) == ("slot", None)
    await here.flows(FULL_W)
    await world.event(FULL_W + 3000, seconds=60, price=EVENT_PRICE)
    await here.flows(-3000)


@pytest.mark.parametrize("version", ["2.0.1"])
async def test_conditions_are_kept_and_hold_again_at_the_next_plug_in(world: World, version: str) -> None:
    """P10."""
    here = await permitted(world, version, min_sell_per_kwh="7654")
    link = (await world.evse(here.station.spec.id))["link"]
    here.station.unplug()
    await here.driver.sees(lambda page: page["plug_in"] is None, "the end of the plug-in")
    await here.driver.claim(link)
    here.station.plug(car())
    page = await here.driver.sees_permission("asked")
    assert page["conditions"]["min_sell_per_kwh"] == "7654"
    await here.driver.answer(granted=True)
    page = await here.driver.sees_permission("granted")
    assert page["plug_in"]["permission"]["conditions"]["min_sell_per_kwh"] == "7654"


@ON_SQLITE
@pytest.mark.parametrize("version", VERSIONS)
async def test_what_one_vehicle_does_not_deliver_another_does(world: World, version: str) -> None:
    """P12, V2G-9, V2G-10: accepted and not observed, re-sent, read back, degraded; the rest is allotted anew."""
    both = [await permitted(world, version) for _ in range(2)]
    event = await world.event(2 * FULL_W + 5000, seconds=60, price=EVENT_PRICE)

    async def serves() -> list[Visit]:
        """Both are proven, the one that serves the event comes first, and the meters show it."""
        seen = [await world.evse(here.station.spec.id) for here in both]
        settled = sorted((evse["setpoint_w"], abs((evse["power_w"] or 0) - evse["setpoint_w"]) < 300) for evse in seen)
        proven = {evse["probe"] for evse in seen} == {"passed"}
        return sorted(both, key=lambda v: v.power_w) if proven and settled == [(-5000, True), (0, True)] else []

    culprit, other = await until(serves, "one vehicle to serve the event")
    culprit.station.hardware.behaviour = combined("clamps_negatives")

    async def is_degraded() -> bool:
        return (await world.evse(culprit.station.spec.id))["level"] != "full"

    await until(is_degraded, "the degrade ladder")
    await other.flows(-5000)
    assert culprit.power_w > -300
    report = await world.get(f"/dr-events/{event['id']}")
    assert {item["evse"]["station"] for item in report["evses"]} >= {other.station.spec.id}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_restart_in_the_middle_loses_nothing_and_goes_on(world: World, version: str) -> None:
    """Must hold 3: plug-in, permission, transaction, event and ledger survive."""
    here = await permitted(world, version)
    event = await world.event(FULL_W + 4000, seconds=60, price=EVENT_PRICE)
    await here.flows(-4000)
    page, transaction = await here.driver.state(), await world.open_transaction(here.station.spec.id)

    await world.stop()
    await here.station.until(lambda: not here.station.online, 60)
    await world.start()
    await here.station.until(lambda: here.station.online, 60)

    again = await here.driver.state()
    assert (again["plug_in"]["id"], again["plug_in"]["permission"]) == (
        page["plug_in"]["id"],
        page["plug_in"]["permission"],
    )
    assert await world.open_transaction(here.station.spec.id) == transaction
    await here.flows(-4000)
    exported_wh = here.exported_wh
    await here.station.until(lambda: here.exported_wh > exported_wh + 3, 60)
    assert here.station.boots == 1
    report = await world.get(f"/dr-events/{event['id']}")
    assert report["delivered_wh"] > 0

    here.station.unplug()
    await world.closed_transaction(here.station.spec.id)
    entries = await settled(world, here)
    assert len({(entry["cause"], entry["revision"]) for entry in entries}) == len(entries)
    assert (await check_balance(world, here))["sold_wh"] > 0


@ON_SQLITE
@pytest.mark.parametrize("version", ["2.1"])
async def test_an_event_stays_with_the_vehicle_that_serves_it(world: World, version: str) -> None:
    """Ties go to the least recently used before the event; within it the work does not go round (design §4)."""
    three = [await visit(world, version) for _ in range(3)]
    for here in three:
        await here.driver.sees_permission("asked")
        await here.driver.answer(granted=True, max_buy_per_kwh="1", required_soc_percent=30)  # does not charge
        await here.station.until(lambda here=here: here.exported_wh > 0 and abs(here.power_w) < 300, 60)  # the probe
    before = [len(asked(here.station, "SetChargingProfile")) for here in three]
    await world.event(3000, seconds=60, price=EVENT_PRICE)
    await three[0].station.until(lambda: max(here.exported_wh for here in three) > 2.5, 60)
    after = [len(asked(here.station, "SetChargingProfile")) for here in three]
    told = [now - then for then, now in zip(before, after, strict=True)]
    assert sum(told) <= 6, f"setpoints sent in one small event: {told}"
    assert sum(here.exported_wh > 1 for here in three) == 1
