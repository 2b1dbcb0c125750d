"""The driver's page in a real browser at 360 px, against the real application, control and store."""

from datetime import time

import pytest
from playwright.async_api import Browser, Page, expect

from csms.domain.commands import Accepted, Rejected, StartTransaction
from csms.domain.conditions import Conditions, Pattern, SlotMode, TimeSlot
from csms.domain.ids import UserId
from csms.store import reads
from tests.browser.conftest import PHONE
from tests.control.kit import World
from tests.http.kit import link

pytestmark = pytest.mark.browser


def path_of(w: World) -> str:
    return "/d/e/" + link(w).split("/d/e/")[1]


async def register(page: Page, w: World, name: str = "Aiko") -> UserId:
    await page.goto(path_of(w))
    await page.get_by_test_id("name").fill(name)
    await page.get_by_test_id("vehicle").fill("Leaf")
    await page.get_by_test_id("register").click()
    await expect(page.get_by_test_id("idle")).to_be_visible()
    (user,) = [each.id for each in await w.store.read(reads.users) if each.name == name]
    return user


async def asked(page: Page, w: World, name: str = "Aiko") -> UserId:
    """Registered, plugged in, and asked."""
    user = await register(page, w, name)
    await w.plug(None)
    await expect(page.get_by_test_id("question")).to_be_visible()
    return user


async def fits(page: Page) -> bool:
    """Nothing runs out at the side."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


async def patterns(w: World, user: UserId) -> dict[str, Pattern]:
    return {each.name: each for each in await w.store.read(lambda conn: reads.patterns(conn, user))}


async def test_a_stranger_registers_and_answers_yes_without_a_reload(page: Page, w: World) -> None:
    """P1, P3, P4: one form, the question comes by itself, yes reaches the server with the pattern that was picked."""
    await register(page, w)
    assert await fits(page)
    await w.plug(None)
    await expect(page.get_by_test_id("question")).to_be_visible()
    assert await fits(page)
    await page.get_by_test_id("pattern-always-80").check(force=True)
    await expect(page.get_by_test_id("conditions-summary")).to_contain_text("80 %")
    await page.get_by_test_id("answer-yes").click()
    await expect(page.get_by_test_id("permission")).to_have_text("You said yes")
    permission = w.plug_in.permission
    assert (permission.pattern, permission.conditions) == ("always-80", Conditions(required_soc_percent=80.0))


async def test_a_prepared_pattern_leaves_my_conditions_and_their_slots_alone(page: Page, w: World) -> None:
    """B12, P10."""
    user = await register(page, w)
    mine = Conditions(required_soc_percent=30, slots=(TimeSlot(start=time(2), end=time(3), days=()),))
    await w.system.rooms.permissions.keep(user, Pattern(name="mine", conditions=mine, chosen=True))
    await w.plug(None)
    await page.get_by_test_id("pattern-commuter").check(force=True)
    await page.get_by_test_id("answer-yes").click()
    await expect(page.get_by_test_id("permission")).to_have_text("You said yes")
    assert (await patterns(w, user))["mine"].conditions == mine


async def test_no_reaches_the_server_and_the_answer_can_be_changed(page: Page, w: World) -> None:
    """P4."""
    await asked(page, w)
    await page.get_by_test_id("answer-no").click()
    await expect(page.get_by_test_id("permission")).to_contain_text("You said no")
    await page.get_by_test_id("change-answer").click()
    await page.get_by_test_id("answer-yes").click()
    await expect(page.get_by_test_id("permission")).to_have_text("You said yes")


async def test_power_and_charge_follow_the_stream(page: Page, w: World) -> None:
    """P3, P13: and since when the vehicle takes part."""
    await asked(page, w)
    await page.get_by_test_id("answer-yes").click()
    await expect(page.get_by_test_id("live")).to_be_visible()
    (start,) = w.stations.of(StartTransaction)
    await w.take(w.event(0, token=start.token, charging_state="Charging"))
    await w.take(w.metered(soc_percent=61.4, power_export_w=3210.0, power_import_w=0.0))
    await expect(page.get_by_test_id("power")).to_contain_text("3.2 kW")
    await expect(page.get_by_test_id("doing")).to_have_text("Giving power to the grid")
    await expect(page.get_by_test_id("soc")).to_contain_text("61 %")
    await expect(page.get_by_test_id("participating")).to_be_visible()
    w.clock.pass_(10)
    await w.take(w.metered(soc_percent=61.4, power_import_w=6000.0, power_export_w=0.0))
    await expect(page.get_by_test_id("doing")).to_have_text("Charging")
    assert await fits(page)


async def test_the_page_says_why_nothing_flows(page: Page, w: World) -> None:
    """F5."""
    w.stations.answer = lambda command: Rejected("busy") if isinstance(command, StartTransaction) else Accepted()
    await asked(page, w)
    await page.get_by_test_id("answer-yes").click()
    await expect(page.get_by_test_id("live")).to_be_visible()
    for _ in range(4):
        w.clock.pass_(30)
        await w.system.reactions.sweep()
        await w.quiet()
    await expect(page.get_by_test_id("start-failed")).to_contain_text("refused to start")


async def test_conditions_that_are_saved_hold_now_and_are_shown_after_a_tab_change(page: Page, w: World) -> None:
    """B2, B12, P5, P7."""
    user = await asked(page, w)
    await page.get_by_test_id("answer-yes").click()
    await expect(page.get_by_test_id("conditions-held")).to_contain_text("50 %")
    await page.get_by_test_id("tab-conditions").click()
    await page.get_by_test_id("min-sell").fill("25.5")
    await page.get_by_test_id("depart-at").fill("07:30")
    await page.get_by_test_id("required-kwh").fill("12")
    await page.get_by_test_id("save-conditions").click()
    await expect(page.locator("#toast")).to_have_text("Saved.")
    await page.get_by_test_id("tab-now").click()
    await expect(page.get_by_test_id("conditions-held")).to_contain_text("+12 kWh")
    await page.get_by_test_id("tab-conditions").click()
    await expect(page.get_by_test_id("min-sell")).to_have_value("25.5")
    await page.get_by_test_id("save-conditions").click()
    await expect(page.locator("#toast")).to_have_text("Saved.")
    held = w.plug_in.permission.conditions
    assert held == (await patterns(w, user))["mine"].conditions
    assert held is not None
    assert (held.min_sell_per_kwh, held.required_kwh, held.depart_at) == (25.5, 12, time(7, 30))


async def test_a_slot_for_one_day_with_its_mode_is_made_on_the_page(page: Page, w: World) -> None:
    """B11, P9."""
    user = await register(page, w)
    await page.get_by_test_id("tab-conditions").click()
    await page.get_by_test_id("add-slot").click()
    assert await fits(page)
    await page.get_by_test_id("slot-once").fill("2030-01-02")
    await page.get_by_test_id("slot-mode").select_option("charge_only")
    await page.get_by_test_id("save-conditions").click()
    await expect(page.locator("#toast")).to_have_text("Saved.")
    (slot,) = (await patterns(w, user))["mine"].conditions.slots
    assert slot.once is not None
    assert (slot.once.isoformat(), slot.mode) == ("2030-01-02", SlotMode.CHARGE_ONLY)


async def test_conditions_are_saved_under_a_name_chosen_and_deleted(page: Page, w: World) -> None:
    """B12, P10."""
    user = await register(page, w)
    await page.get_by_test_id("tab-conditions").click()
    await page.get_by_test_id("pattern-name").fill("Long trip")
    await page.get_by_test_id("save-as").click()
    await page.get_by_test_id("pattern-Long trip").check(force=True)
    await page.get_by_test_id("choose-pattern").click()
    await expect(page.locator("#toast")).to_have_text("Used from now on.")
    assert (await patterns(w, user))["Long trip"].chosen
    await page.get_by_test_id("delete-pattern").click()
    await expect(page.locator("#toast")).to_have_text("Deleted.")
    assert "Long trip" not in await patterns(w, user)


async def test_a_second_phone_is_linked_by_the_code_of_the_first(page: Page, w: World, browser: Browser) -> None:
    """B14, P1."""
    await register(page, w)
    await page.get_by_test_id("tab-me").click()
    assert await fits(page)
    await page.get_by_test_id("make-me.another_phone").click()
    code = page.get_by_test_id("me").get_by_test_id("new-code").last
    await expect(code).to_contain_text("ten minutes")
    typed = (await code.inner_text())[:8]
    context = await browser.new_context(viewport=PHONE, locale="en", base_url=page.url.split("/d/")[0])
    other = await context.new_page()
    await other.goto("/d/")
    await other.get_by_test_id("code").fill(typed)
    await other.get_by_test_id("link-terminal").click()
    await expect(other.get_by_test_id("idle")).to_contain_text("Aiko")
    await context.close()


async def test_what_people_wrote_never_becomes_markup(page: Page, w: World) -> None:
    name = "<img src=x onerror=alert(1)>"
    await register(page, w, name)
    await page.goto("/d/")
    await expect(page.locator("h1")).to_contain_text(name)
    assert await page.locator("main img").count() == 0


async def test_a_forged_link_says_what_to_do(page: Page, w: World) -> None:
    """V2G-27."""
    await page.goto(path_of(w).split("?", maxsplit=1)[0] + "?s=forged")
    await expect(page.get_by_test_id("bad-link")).to_be_visible()


async def test_the_page_speaks_japanese(page: Page, w: World) -> None:
    await register(page, w)
    await page.get_by_test_id("language").select_option("ja")
    await w.plug(None)
    await expect(page.locator("h1")).to_have_text("車が接続されました")
    assert await fits(page)


async def test_the_page_shows_what_was_seen_last_when_offline(page: Page, w: World) -> None:
    """P10: also when the server cannot be reached."""
    await register(page, w)
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await w.plug(None)
    await expect(page.get_by_test_id("question")).to_be_visible()
    await page.reload()
    await expect(page.get_by_test_id("question")).to_be_visible()
    await page.context.set_offline(True)
    await page.reload()
    await expect(page.get_by_test_id("question")).to_be_visible()
    await expect(page.locator("#net")).to_contain_text("Offline")
    await page.get_by_test_id("tab-conditions").click()
    await expect(page.get_by_test_id("required-soc")).to_be_visible()


async def test_the_question_is_answered_with_the_keyboard_alone(page: Page, w: World) -> None:
    await asked(page, w)
    yes = page.get_by_test_id("answer-yes")
    for _ in range(30):
        await page.keyboard.press("Tab")
        if await yes.evaluate("node => node === document.activeElement"):
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("permission")).to_have_text("You said yes")
