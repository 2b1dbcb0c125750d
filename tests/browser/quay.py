"""A real server, bare stations that say what a test wants said, and a page that belongs to them."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from tests import servers
from tests.browser.conftest import PHONE
from tests.e2e.raw import RawStation, connected, now

PASSWORD = "browser-test-pw-1"
CONFIG = """
[permission]
debounce_s = 0
[dispatch]
tick_s = 1
[security]
registrations_per_minute = 1000
"""
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Quay:
    """One station (OCPP 1.6) with one EVSE, and the API of the server it is connected to."""

    station: RawStation
    api: httpx.AsyncClient
    link: str

    async def plug_in(self) -> None:
        await self.station.status("Preparing")

    async def started(self) -> int:
        """What a station does with a remote start: a transaction. Its id."""
        start = await self.station.heard_call("RemoteStartTransaction")
        body = {"connectorId": 1, "idTag": start["idTag"], "meterStart": 0, "timestamp": now()}
        answer = await self.station.tell("StartTransaction", body)
        assert answer["idTagInfo"]["status"] == "Accepted"
        await self.station.status("Charging")
        return int(answer["transactionId"])

    async def meters(self, transaction: int, power_w: int, soc_percent: float) -> None:
        """One sample: power with its direction, and the state of charge."""
        flow, idle = ("Import", "Export") if power_w >= 0 else ("Export", "Import")
        samples = [
            {"value": str(abs(power_w)), "measurand": f"Power.Active.{flow}", "unit": "W"},
            {"value": "0", "measurand": f"Power.Active.{idle}", "unit": "W"},
            {"value": str(soc_percent), "measurand": "SoC", "unit": "Percent"},
        ]
        body = {
            "connectorId": 1,
            "transactionId": transaction,
            "meterValue": [{"timestamp": now(), "sampledValue": samples}],
        }
        await self.station.tell("MeterValues", body)

    async def plug_ins(self) -> list[dict[str, Any]]:
        """What the server keeps of the visits here."""
        answer = await self.api.get("/api/v1/plug-ins", params={"limit": 500})
        found = answer.raise_for_status().json()["items"]
        return [item for item in found if item["evse"]["station"] == self.station.id]


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """One ``csms serve`` for a file's tests; each test has a station and a driver of its own."""
    with servers.running(tmp_path_factory.mktemp("browser"), config=CONFIG) as started:
        yield started


@pytest.fixture
async def quay(real_server: servers.Server) -> AsyncIterator[Quay]:
    id_ = f"QUAY-{next(_numbers)}"
    body = {"id": id_, "password": PASSWORD, "evses": [{"evse": 1, "max_charge_w": 7360, "max_discharge_w": 6000}]}
    async with real_server.async_client() as api:
        (await api.post("/api/v1/stations", json=body)).raise_for_status()
        link = (await api.get(f"/api/v1/stations/{id_}")).raise_for_status().json()["evses"][0]["link"]
        async with connected(real_server.ocpp_url, id_, "1.6", PASSWORD) as station:
            await station.boot()
            await station.heard_call("TriggerMessage")
            yield Quay(station, api, link)


@pytest.fixture
async def page(browser: Browser, real_server: servers.Server) -> AsyncIterator[Page]:
    """A page at 360 px that fails its test on any error in its scripts."""
    context = await browser.new_context(
        viewport=PHONE, locale="en", base_url=real_server.http_url, device_scale_factor=2
    )
    opened = await context.new_page()
    broken: list[str] = []
    opened.on("pageerror", lambda error: broken.append(str(error)))
    yield opened
    await context.close()
    assert broken == []


async def register(page: Page, link: str, name: str = "Aiko") -> None:
    """The one form of a newcomer, behind the link of an EVSE."""
    await page.goto(link)
    await page.get_by_test_id("name").fill(name)
    await page.get_by_test_id("vehicle").fill("Leaf")
    await page.get_by_test_id("register").click()
    await expect(page.get_by_test_id("idle")).to_be_visible()
