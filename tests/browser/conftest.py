"""A headless browser at the size of a small phone, and the real application behind a real socket."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from csms.edge.http.server import HttpServer, serve
from tests import servers
from tests.control.kit import World
from tests.http.conftest import empty_database, w
from tests.http.kit import application

__all__ = ["empty_database", "w"]

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
PHONE = {"width": 360, "height": 740}
expect.set_options(timeout=30_000)  # a busy machine's; what holds is seen at once


@pytest.fixture
async def driver_page_server(w: World) -> AsyncIterator[HttpServer]:
    w.clock.at = datetime.now(UTC)
    started = await serve(application(w), "127.0.0.1", 0)
    yield started
    await started.close()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=servers.chromium(), args=FLAGS.split())
        yield opened
        await opened.close()


@pytest.fixture
async def page(browser: Browser, driver_page_server: HttpServer) -> AsyncIterator[Page]:
    """A page at 360 px that fails its test on any error in its scripts."""
    origin = f"http://127.0.0.1:{driver_page_server.port}"
    context = await browser.new_context(viewport=PHONE, locale="en", base_url=origin, device_scale_factor=2)
    opened = await context.new_page()
    broken: list[str] = []
    opened.on("pageerror", lambda error: broken.append(str(error)))
    yield opened
    await context.close()
    assert broken == []
