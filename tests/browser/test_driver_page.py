"""The driver's page in a real browser at 360 px, against the real application, control and store."""

import re
from datetime import time

import pytest
from playwright.async_api import Browser, Page, Route, expect

from csms.domain.commands import Accepted, Rejected, StartTransaction
from csms.domain.conditions import Conditions, Pattern, SlotMode, TimeSlot
from csms.domain.facts import IdToken
from csms.domain.ids import EvseRef, StationId, UserId
from csms.domain.people import IdTokenRecord
from csms.store import reads
from tests.browser.conftest import PHONE
from tests.control.kit import AOI, E1, World, station
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


SLOW_LINE = """() => {
  const fetched = window.fetch, held = new Promise((release) => { window.release = release; });
  window.fetch = async (...request) => {
    const answer = await fetched(...request);
    if (String(request[0]).endsWith("/state")) { document.body.dataset.held = "yes"; await held; }
    return answer;
  };
}"""


async def test_an_answer_of_before_never_takes_the_place_of_what_the_stream_told_since(page: Page, w: World) -> None:
    """P13: the page asks for its state after each answer; a slow line brought it after what had happened meanwhile."""
    w.stations.answer = lambda command: Rejected("busy") if isinstance(command, StartTransaction) else Accepted()
    await asked(page, w)
    await page.evaluate(SLOW_LINE)
    await page.get_by_test_id("answer-yes").click()
    await expect(page.locator("body[data-held]")).to_be_attached()
    for _ in range(4):
        w.clock.pass_(30)
        await w.system.reactions.sweep()
        await w.quiet()
    await expect(page.get_by_test_id("start-failed")).to_contain_text("refused to start")
    await page.evaluate("(window.release(), new Promise(done => setTimeout(done, 50)))")
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


async def test_s1_the_page_says_what_to_do_where_a_card_charges_and_asks_once_it_is_shown(page: Page, w: World) -> None:
    """P1: in the reader's language, and it stays on the screen."""
    card = IdToken("CARD-NOBODY")
    await w.token(IdTokenRecord(token=card.value))
    await w.take(w.started(card))
    await register(page, w)
    await expect(page.get_by_test_id("claim-refused")).to_contain_text("show that card")
    await page.get_by_test_id("language").select_option("ja")
    await page.get_by_test_id("tab-now").click()
    await expect(page.get_by_test_id("claim-refused")).to_contain_text("カード")
    assert await fits(page)
    await w.take(w.authorize(card))
    await expect(page.get_by_test_id("question")).to_be_visible()


async def test_s2_the_page_says_what_to_do_also_where_its_reader_has_another_plug_in(page: Page, w: World) -> None:
    """P1: one car waits at home, its driver scans the code where the other charges on a card."""
    card, other = IdToken("CARD-NOBODY"), EvseRef(StationId("CS-2"), 1)
    await w.token(IdTokenRecord(token=card.value))
    await w.add(station(other.station))
    await w.take(w.started(card))
    user = await register(page, w)
    await w.plug(user, other)
    await expect(page.get_by_test_id("question")).to_be_visible()
    await expect(page.get_by_test_id("claim-elsewhere")).to_contain_text("show that card")
    await expect(page.get_by_test_id("claim-elsewhere")).to_contain_text("CS-1")
    assert await fits(page)
    await page.goto("/d/")
    await expect(page.get_by_test_id("question")).to_be_visible()
    await expect(page.get_by_test_id("claim-elsewhere")).to_be_hidden()


async def test_s2_the_page_says_that_somebody_else_is_asked(page: Page, w: World) -> None:
    """P1."""
    await asked(page, w)
    await w.person()
    await w.system.rooms.matching.claim(AOI, E1)
    await expect(page.get_by_test_id("claim-refused")).to_contain_text("Somebody else says")
    assert await fits(page)


async def test_p1_a_link_that_was_opened_without_a_line_counts_once_it_is_back(page: Page, w: World) -> None:
    """P1, P3: the page said "Plug in your car now", and nobody was asked."""
    await register(page, w)
    await w.plug(None)
    await expect(page.get_by_test_id("question")).to_be_visible()
    w.leave()
    await w.quiet()
    lost: list[str] = []

    async def cut(route: Route) -> None:
        lost.append(route.request.url)
        await (route.abort() if len(lost) == 1 else route.continue_())

    await page.route("**/d/api/claim", cut)
    await page.goto(path_of(w))
    await expect(page.get_by_test_id("idle")).to_be_visible()
    await expect(page).not_to_have_url(re.compile("/d/e/"))
    await w.plug(None)
    await expect(page.get_by_test_id("question")).to_be_visible()
    assert len(lost) == 2
