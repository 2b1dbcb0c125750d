"""The driver's page in a real browser at 360 px, against the real server and stations that speak OCPP. P1-P10."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Page, expect

from tests.browser.quay import Quay, page, quay, real_server, register

__all__ = ["page", "quay", "real_server"]

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.xdist_group("whole server")]


async def asked(page: Page, quay: Quay, name: str = "Aiko") -> None:
    """A newcomer's vehicle is plugged in, and the question is on the page."""
    await register(page, quay.link, name)
    await quay.plug_in()
    await expect(page.get_by_test_id("question")).to_be_visible()


async def fits(page: Page) -> bool:
    """Nothing runs out at the side."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


async def test_a_stranger_registers_and_answers_yes_without_a_reload(page: Page, quay: Quay) -> None:
    """P1, P3, P4: one form, the question comes by itself, yes reaches the server with the conditions."""
    await asked(page, quay)
    assert await fits(page)
    await page.get_by_test_id("pattern-always-80").check(force=True)
    await expect(page.get_by_test_id("conditions-summary")).to_contain_text("80 %")
    await page.get_by_test_id("answer-yes").click()
    await expect(page.get_by_test_id("permission")).to_have_text("You said yes")
    (kept,) = await quay.plug_ins()
    permission = kept["permission"]
    assert (permission["state"], permission["channel"]) == ("granted", "page")
    assert permission["conditions"]["required_soc_percent"] == 80.0
    await quay.station.heard_call("RemoteStartTransaction")


async def test_no_reaches_the_server_and_the_answer_can_be_changed(page: Page, quay: Quay) -> None:
    """P4."""
    await asked(page, quay)
    await page.get_by_test_id("answer-no").click()
    await expect(page.get_by_test_id("permission")).to_contain_text("You said no")
    assert [kept["permission"]["state"] for kept in await quay.plug_ins()] == ["refused"]
    await page.get_by_test_id("change-answer").click()
    await page.get_by_test_id("answer-yes").click()
    await expect(page.get_by_test_id("permission")).to_have_text("You said yes")
    assert [kept["permission"]["state"] for kept in await quay.plug_ins()] == ["granted"]


async def test_power_and_charge_follow_the_meter(page: Page, quay: Quay) -> None:
    """P13, G11: what the station metered, as it comes; a DR event is named while it runs."""
    await asked(page, quay)
    await page.get_by_test_id("answer-yes").click()
    transaction = await quay.started()
    await quay.meters(transaction, 6000, 61.4)
    await expect(page.get_by_test_id("power")).to_contain_text("6.0 kW")
    await expect(page.get_by_test_id("doing")).to_have_text("Charging")
    await expect(page.get_by_test_id("soc")).to_contain_text("61 %")
    await expect(page.get_by_test_id("event-notice")).to_be_hidden()
    body = {
        "direction": "down",
        "requested_w": 1000,
        "ends_at": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        "incentive_per_kwh": "60",
    }
    event = (await quay.api.post("/api/v1/dr-events", json=body)).raise_for_status().json()
    await expect(page.get_by_test_id("event-notice")).to_be_visible()
    await quay.meters(transaction, -3210, 61.0)
    await expect(page.get_by_test_id("power")).to_contain_text("3.2 kW")
    await expect(page.get_by_test_id("doing")).to_have_text("Giving power to the grid")
    assert await fits(page)
    (await quay.api.delete(f"/api/v1/dr-events/{event['id']}")).raise_for_status()
    await expect(page.get_by_test_id("event-notice")).to_be_hidden()


async def test_conditions_are_saved_and_shown_again(page: Page, quay: Quay) -> None:
    """P5, P7, P9, P10."""
    await register(page, quay.link)
    await page.get_by_test_id("tab-conditions").click()
    await page.get_by_test_id("min-sell").fill("25.5")
    await page.get_by_test_id("depart-at").fill("07:30")
    await page.get_by_test_id("add-slot").click()
    assert await fits(page)
    await page.get_by_test_id("save-conditions").click()
    await expect(page.locator("#toast")).to_have_text("Saved.")
    await page.reload()
    await page.get_by_test_id("tab-conditions").click()
    await expect(page.get_by_test_id("min-sell")).to_have_value("25.5")
    await expect(page.get_by_test_id("depart-at")).to_have_value("07:30")


async def test_what_people_wrote_never_becomes_markup(page: Page, quay: Quay) -> None:
    name = "<img src=x onerror=alert(1)>"
    await register(page, quay.link, name)
    await page.goto("/d/")
    await expect(page.locator("h1")).to_contain_text(name)
    assert await page.locator("main img").count() == 0


async def test_a_forged_link_says_what_to_do(page: Page, quay: Quay) -> None:
    """V2G-27."""
    await page.goto(quay.link.split("?s=")[0] + "?s=forged")
    await expect(page.get_by_test_id("bad-link")).to_be_visible()


async def test_the_page_speaks_japanese(page: Page, quay: Quay) -> None:
    await register(page, quay.link)
    await page.get_by_test_id("language").select_option("ja")
    await quay.plug_in()
    await expect(page.locator("h1")).to_have_text("車が接続されました")
    assert await fits(page)


async def test_the_page_shows_what_was_seen_last_when_offline(page: Page, quay: Quay) -> None:
    """P10: also when the server cannot be reached."""
    await register(page, quay.link)
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await quay.plug_in()
    await expect(page.get_by_test_id("question")).to_be_visible()
    await page.reload()
    await expect(page.get_by_test_id("question")).to_be_visible()
    await page.context.set_offline(True)
    await page.reload()
    await expect(page.get_by_test_id("question")).to_be_visible()
    await expect(page.locator("#net")).to_contain_text("Offline")
    await page.get_by_test_id("tab-conditions").click()
    await expect(page.get_by_test_id("required-soc")).to_be_visible()


async def test_the_question_is_answered_with_the_keyboard_alone(page: Page, quay: Quay) -> None:
    await asked(page, quay)
    yes = page.get_by_test_id("answer-yes")
    for _ in range(20):
        await page.keyboard.press("Tab")
        if await yes.evaluate("node => node === document.activeElement"):
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("permission")).to_have_text("You said yes")


async def test_saved_conditions_are_still_there_after_a_look_elsewhere(page: Page, quay: Quay) -> None:
    """P10, B12: what the page shows is what is kept, and saving again erases nothing."""
    await register(page, quay.link)
    await page.get_by_test_id("tab-conditions").click()
    await page.get_by_test_id("min-sell").fill("25.5")
    await page.get_by_test_id("save-conditions").click()
    await expect(page.locator("#toast")).to_have_text("Saved.")
    await page.get_by_test_id("tab-now").click()
    await page.get_by_test_id("tab-conditions").click()
    await expect(page.get_by_test_id("min-sell")).to_have_value("25.5")
