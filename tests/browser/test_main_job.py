"""The main job as its user sees it: a real server, a real browser, a simulated vehicle. P1-P4, P12."""

import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from simulators.battery import Battery
from simulators.ev import Ev
from simulators.evse import EvseSpec
from simulators.models import MODELS, StationSpec
from simulators.station import Station
from tests import servers
from tests.browser.conftest import PHONE

PASSWORD = "browser-test-pw-1"
CONFIG = """
[permission]
question_timeout_s = 60
[dispatch]
tick_s = 1
setpoint_validity_s = 20
min_change_s = 1
settle_s = 3
[metering]
sample_interval_s = 1
[settlement]
interval = 5
grace_s = 1
"""
PICTURES = os.environ.get("TIDEWATT_PICTURES")
"""A folder for screenshots (they are how the README's picture is made); unset = none are taken."""

pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.fixture
def busy_server(tmp_path: Path) -> Iterator[servers.Server]:
    with servers.running(tmp_path, config=CONFIG) as server:
        yield server


@pytest.fixture
async def station(busy_server: servers.Server) -> AsyncIterator[Station]:
    spec = StationSpec(
        id="QUAY-7",
        model=MODELS["Sim V2G 2.1"],
        evses=(EvseSpec(max_charge_w=7360.0, max_discharge_w=6000.0),),
        tick_s=0.5,
    )
    async with Station(spec, busy_server.ocpp_url, password=PASSWORD) as started:
        yield started


@pytest.fixture
async def api(busy_server: servers.Server) -> AsyncIterator[httpx.AsyncClient]:
    async with busy_server.async_client() as client:
        evse = {"evse": 1, "max_charge_w": 7360, "max_discharge_w": 6000}
        body = {"id": "QUAY-7", "password": PASSWORD, "site": "default", "evses": [evse]}
        (await client.post("/api/v1/stations", json=body)).raise_for_status()
        yield client


@pytest.fixture
async def phone(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport=PHONE, locale="en", device_scale_factor=2)
    yield await context.new_page()
    await context.close()


async def test_a_click_on_yes_lets_the_vehicle_discharge_in_the_dr_event(
    api: httpx.AsyncClient, station: Station, phone: Page
) -> None:
    """P1, P3, P4, P12, P13: the link, one form, the question by itself, yes; then discharge, shown live and paid."""
    await station.until(lambda: station.online, 60)
    link = (await api.get("/api/v1/stations/QUAY-7")).json()["evses"][0]["link"]
    await _sign_up(phone, link)
    station.plug(Ev(Battery(capacity_wh=60_000.0, energy_wh=48_000.0), max_charge_w=7400.0, max_discharge_w=7000.0))
    await expect(phone.get_by_test_id("question")).to_be_visible()
    await _picture(phone, "question")
    assert station.evse().meter.power_w == 0, "no energy before the answer"
    before_wh = station.evse().meter.export_wh

    await phone.get_by_test_id("answer-yes").click()
    await expect(phone.get_by_test_id("live")).to_be_visible()
    event = await _ask(api)
    await station.until(lambda: station.evse().meter.power_w < -5000, 60)
    await expect(phone.get_by_test_id("event-notice")).to_be_visible()
    await expect(phone.get_by_test_id("power")).to_contain_text("6")
    await _picture(phone, "discharging")

    assert station.evse().meter.export_wh > before_wh
    report = (await api.get(f"/api/v1/dr-events/{event}")).json()
    assert report["evses"][0]["desired_w"] < -5000


async def _sign_up(phone: Page, link: str) -> None:
    await phone.goto(link)
    await phone.get_by_test_id("name").fill("Aoi")
    await phone.get_by_test_id("vehicle").fill("Leaf")
    await phone.get_by_test_id("battery").fill("60")
    await phone.get_by_test_id("register").click()


async def _ask(api: httpx.AsyncClient) -> str:
    body = {
        "direction": "down",
        "requested_w": 20_000,
        "ends_at": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        "incentive_per_kwh": "60",
    }
    answer = await api.post("/api/v1/dr-events", json=body)
    return str(answer.raise_for_status().json()["id"])


async def _picture(phone: Page, name: str) -> None:
    if PICTURES:
        await phone.screenshot(path=Path(PICTURES) / f"{name}.png")
