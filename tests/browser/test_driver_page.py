"""The driver's page in a real browser at 360 px, against the application over fakes."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from playwright.async_api import Page, expect

from csms.domain.ids import UserId
from csms.domain.permission import PermissionState
from tests.http.fakes import STATION, FakeControl, asked

pytestmark = pytest.mark.browser

USER = UserId("u-1")
LINK = f"/d/e/{STATION}/1?s=good"


async def register(page: Page, name: str = "Aiko") -> None:
    await page.goto(LINK)
    await page.get_by_test_id("name").fill(name)
    await page.get_by_test_id("vehicle").fill("Leaf")
    await page.get_by_test_id("register").click()
    await expect(page.get_by_test_id("idle")).to_be_visible()


def plug_in(control: FakeControl) -> None:
    control.plug_in(USER, asked(USER, datetime.now(UTC)))


async def fits(page: Page) -> bool:
    """Nothing runs out at the side."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


async def test_a_stranger_registers_and_answers_yes_without_a_reload(page: Page, control: FakeControl) -> None:
    """P1, P3, P4: one form, the question comes by itself, yes reaches the server with the conditions."""
    await register(page)
    assert await fits(page)
    plug_in(control)
    await expect(page.get_by_test_id("question")).to_be_visible()
    assert await fits(page)
    await page.get_by_test_id("pattern-always-80").check(force=True)
    await expect(page.get_by_test_id("conditions-summary")).to_contain_text("80 %")
    await page.get_by_test_id("answer-yes").click()
    await expect(page.get_by_test_id("permission")).to_have_text("You said yes")
    name, (which, granted, conditions, _) = next(told for told in control.told if told[0] == "answer")
    assert (name, which, granted, conditions.required_soc_percent) == ("answer", "p-1", True, 80.0)


async def test_no_reaches_the_server_and_the_answer_can_be_changed(page: Page, control: FakeControl) -> None:
    await register(page)
    plug_in(control)
    await page.get_by_test_id("answer-no").click()
    await expect(page.get_by_test_id("permission")).to_contain_text("You said no")
    await page.get_by_test_id("change-answer").click()
    await page.get_by_test_id("answer-yes").click()
    await expect(page.get_by_test_id("permission")).to_have_text("You said yes")


async def test_power_and_charge_follow_the_stream(page: Page, control: FakeControl) -> None:
    await register(page)
    question = asked(USER, datetime.now(UTC))
    granted = replace(question.permission, state=PermissionState.GRANTED)
    control.live |= {"power_w": -3210, "soc_percent": 61.4, "event_active": True}
    control.plug_in(USER, replace(question, permission=granted))
    await expect(page.get_by_test_id("power")).to_contain_text("3.2 kW")
    await expect(page.get_by_test_id("doing")).to_have_text("Giving power to the grid")
    await expect(page.get_by_test_id("soc")).to_contain_text("61 %")
    await expect(page.get_by_test_id("event-notice")).to_be_visible()
    control.live |= {"power_w": 6000, "event_active": False}
    control.ring(USER)
    await expect(page.get_by_test_id("doing")).to_have_text("Charging")
    await expect(page.get_by_test_id("event-notice")).to_be_hidden()
    assert await fits(page)


async def test_conditions_are_saved_and_shown_again(page: Page, control: FakeControl) -> None:
    """P5, P7, P9, P10."""
    await register(page)
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


async def test_what_people_wrote_never_becomes_markup(page: Page, control: FakeControl) -> None:
    name = "<img src=x onerror=alert(1)>"
    await register(page, name)
    await page.goto("/d/")
    await expect(page.locator("h1")).to_contain_text(name)
    assert await page.locator("main img").count() == 0


async def test_a_forged_link_says_what_to_do(page: Page) -> None:
    """V2G-27."""
    await page.goto(f"/d/e/{STATION}/1?s=forged")
    await expect(page.get_by_test_id("bad-link")).to_be_visible()


async def test_the_page_speaks_japanese(page: Page, control: FakeControl) -> None:
    await register(page)
    await page.get_by_test_id("language").select_option("ja")
    plug_in(control)
    await expect(page.locator("h1")).to_have_text("車が接続されました")
    assert await fits(page)


async def test_the_page_shows_what_was_seen_last_when_offline(page: Page, control: FakeControl) -> None:
    """P10: also when the server cannot be reached."""
    await register(page)
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    plug_in(control)
    await expect(page.get_by_test_id("question")).to_be_visible()
    await page.reload()
    await expect(page.get_by_test_id("question")).to_be_visible()
    await page.context.set_offline(True)
    await page.reload()
    await expect(page.get_by_test_id("question")).to_be_visible()
    await expect(page.locator("#net")).to_contain_text("Offline")
    await page.get_by_test_id("tab-conditions").click()
    await expect(page.get_by_test_id("required-soc")).to_be_visible()


async def test_the_question_is_answered_with_the_keyboard_alone(page: Page, control: FakeControl) -> None:
    await register(page)
    plug_in(control)
    await expect(page.get_by_test_id("question")).to_be_visible()
    yes = page.get_by_test_id("answer-yes")
    for _ in range(20):
        await page.keyboard.press("Tab")
        if await yes.evaluate("node => node === document.activeElement"):
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("permission")).to_have_text("You said yes")
