"""The driver's page: its JSON, its cookie, its stream and its files."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from string import Formatter
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.control.permission.claims import Refusal
from csms.domain.commands import StartTransaction
from csms.domain.conditions import Conditions
from csms.domain.errors import BadRequest, PortBusy
from csms.domain.facts import IdToken
from csms.domain.ids import EvseRef, StationId
from csms.domain.people import IdTokenRecord
from csms.domain.permission import Channel, PermissionState
from csms.edge.http import links
from csms.edge.http.auth import TERMINAL_COOKIE
from csms.edge.http.driver import FILES
from csms.edge.http.patterns import PREPARED
from csms.edge.http.server import HttpServer, serve
from csms.edge.http.shapes import ConditionsBody, conditions_json
from csms.store import reads
from tests.control.kit import AOI, E1, World, station
from tests.http.kit import ORIGIN, STATION, application, link, registration

TARIFF = "30"
CONDITIONS = {
    "min_sell_per_kwh": "25.5",
    "max_buy_per_kwh": None,
    "min_incentive_per_kwh": None,
    "required_soc_percent": 70.0,
    "required_kwh": None,
    "depart_at": "07:30",
    "zone": "Asia/Tokyo",
    "entrust": False,
    "charge": True,
    "discharge": True,
    "slots": [
        {"start": "18:00", "end": "07:00", "days": [0, 4], "once": None, "zone": "Asia/Tokyo", "mode": "conditions"}
    ],
}


async def test_a_new_driver_registers_in_one_form(web: httpx.AsyncClient, w: World) -> None:
    """P1: never signed up before, linked at the first plug-in."""
    await w.plug(None)
    answer = await web.post("/d/api/register", json=registration(link(w)))
    assert answer.status_code == 201
    user = answer.json()["user"]
    assert user["name"] == "Aiko"
    state = (await web.get("/d/api/state")).json()
    assert state["user"] == {"id": user["id"], "name": "Aiko", "language": "ja"}
    assert state["plug_in"]["permission"]["state"] == "asked"
    assert w.evse.vehicle is not None
    assert (w.evse.vehicle.id, w.evse.vehicle.max_charge_w) == (answer.json()["vehicle"]["id"], 6000)


async def test_the_terminal_cookie_is_out_of_reach_of_scripts_and_other_sites(web: httpx.AsyncClient, w: World) -> None:
    cookie = (await web.post("/d/api/register", json=registration(link(w)))).headers["set-cookie"].lower()
    assert cookie.startswith(f"{TERMINAL_COOKIE}=")
    assert {"httponly", "samesite=strict", "path=/d"} <= set(cookie.split("; "))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"link": "/d/e/CS-1/1?s=forged"}, "link"),
        ({"link": "/d/e/CS-9/1?s=forged"}, "link"),
        ({"link": "/d/e/CS-1/1"}, "link"),
        ({"link": "https://elsewhere.example/x"}, "link"),
        ({"name": "   "}, "name"),
        ({"language": "xx"}, "language"),
        ({"vehicle": {"name": "Leaf", "capacity_wh": 0}}, "vehicle.capacity_wh"),
    ],
)
async def test_a_bad_registration_names_the_field(
    web: httpx.AsyncClient, w: World, change: dict[str, Any], field: str
) -> None:
    """V2G-27: only a signed link of ours registers."""
    answer = await web.post("/d/api/register", json=registration(link(w)) | change)
    assert answer.status_code in {404, 422}
    assert answer.json()["field"] == field
    assert await w.store.read(lambda conn: reads.users(conn, after=None, limit=9)) == []


async def test_registrations_from_one_address_are_limited(web: httpx.AsyncClient, w: World) -> None:
    limit = w.settings.security.registrations_per_minute
    bad = registration("/d/e/CS-1/1?s=forged")
    statuses = {(await web.post("/d/api/register", json=bad)).status_code for _ in range(limit)}
    assert statuses == {404}
    assert (await web.post("/d/api/register", json=registration(link(w)))).status_code == 429


@pytest.mark.parametrize("path", ["state", "history", "conditions", "balance", "events"])
async def test_an_unknown_terminal_sees_nothing(web: httpx.AsyncClient, path: str) -> None:
    web.cookies.set(TERMINAL_COOKIE, "guessed")
    assert (await web.get(f"/d/api/{path}")).status_code == 401


@pytest.fixture
async def question(phone: httpx.AsyncClient, w: World) -> str:
    """Path of the answer to the question about the plug-in that the phone's driver has begun."""
    await w.plug(None)
    await w.quiet()
    assert w.plug_in.permission.state is PermissionState.ASKED
    return f"/d/api/plug-ins/{w.plug_in.id}/answer"


async def test_a_form_of_another_site_cannot_answer(phone: httpx.AsyncClient, w: World, question: str) -> None:
    forged = await phone.post(question, content=b'{"granted": true}', headers={"Content-Type": "text/plain"})
    cross = await phone.post(question, json={"granted": True}, headers={"Sec-Fetch-Site": "cross-site"})
    assert (forged.status_code, cross.status_code) == (415, 403)
    assert w.plug_in.permission.state is PermissionState.ASKED


@pytest.mark.usefixtures("question")
async def test_the_question_comes_with_the_conditions_and_prepared_patterns(phone: httpx.AsyncClient, w: World) -> None:
    """P3, P10."""
    await w.take(w.metered(soc_percent=62.0))
    state = (await phone.get("/d/api/state")).json()
    plug_in = state["plug_in"]
    assert (plug_in["id"], plug_in["station"], plug_in["evse"]) == (w.plug_in.id, STATION, 1)
    assert plug_in["permission"]["state"] == "asked"
    expires_at = w.clock.now() + timedelta(seconds=w.settings.permission.question_timeout_s)
    assert plug_in["permission"]["expires_at"] == expires_at.isoformat()
    assert (plug_in["soc_percent"], plug_in["price_per_kwh"], state["currency"]) == (62.0, TARIFF, "JPY")
    assert state["conditions"]["required_soc_percent"] == 50.0
    assert (state["balance"]["amount_minor"], state["balance"]["currency"]) == (0, "JPY")
    assert [pattern["name"] for pattern in state["patterns"]] == [pattern.name for pattern in PREPARED]


async def test_yes_is_passed_on_with_the_conditions_which_are_kept(
    phone: httpx.AsyncClient, w: World, question: str
) -> None:
    """P4, P10: used again at the next plug-in."""
    answer = await phone.post(question, json={"granted": True, "conditions": CONDITIONS})
    assert answer.json()["permission"]["state"] == "granted"
    assert answer.json()["permission"]["conditions"] == CONDITIONS
    permission = w.plug_in.permission
    told = ConditionsBody.model_validate(CONDITIONS).domain()
    assert (permission.state, permission.conditions, permission.channel) == (
        PermissionState.GRANTED,
        told,
        Channel.PAGE,
    )
    state = (await phone.get("/d/api/state")).json()
    assert (state["conditions"], state["conditions_saved"]) == (CONDITIONS, True)


async def test_no_is_passed_on_and_keeps_no_conditions(phone: httpx.AsyncClient, question: str) -> None:
    answer = await phone.post(question, json={"granted": False})
    assert answer.json()["permission"]["state"] == PermissionState.REFUSED
    assert (await phone.get("/d/api/state")).json()["conditions_saved"] is False


async def test_nobody_answers_for_the_plug_in_of_another(phone: httpx.AsyncClient, w: World, question: str) -> None:
    phone.cookies.clear()
    elsewhere = EvseRef(StationId("CS-2"), 1)
    await w.add(station(elsewhere.station))
    assert (
        await phone.post("/d/api/register", json=registration(w.system.links.of(elsewhere), name="Ken"))
    ).status_code == 201
    answer = await phone.post(question, json={"granted": True})
    assert answer.status_code == 404
    assert w.plug_in.permission.state is PermissionState.ASKED


async def test_conditions_are_put_and_got(phone: httpx.AsyncClient) -> None:
    assert (await phone.put("/d/api/conditions", json=CONDITIONS)).json() == CONDITIONS
    assert (await phone.get("/d/api/conditions")).json() == CONDITIONS


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"required_soc_percent": 101}, "required_soc_percent"),
        ({"depart_at": "25:00"}, "depart_at"),
        ({"depart_at": "07:30+09:00"}, "depart_at"),
        ({"zone": "../../etc/passwd"}, "zone"),
        ({"min_sell_per_kwh": "much"}, "min_sell_per_kwh"),
        ({"slots": [{"start": "18:00", "end": "07:00", "days": [7]}]}, "slots.0.days.0"),
        ({"slots": [{"start": "18:00"}]}, "slots.0.end"),
    ],
)
async def test_bad_conditions_name_the_field(phone: httpx.AsyncClient, change: dict[str, Any], field: str) -> None:
    answer = await phone.put("/d/api/conditions", json=CONDITIONS | change)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@given(
    st.builds(
        Conditions,
        required_soc_percent=st.floats(0, 100),
        depart_at=st.none() | st.times().map(lambda t: t.replace(second=0, microsecond=0)),
    )
)
def test_conditions_are_never_changed_by_going_out_and_coming_in(conditions: Conditions) -> None:
    sent = json.loads(json.dumps(conditions_json(conditions)))
    assert ConditionsBody.model_validate(sent).domain() == conditions


async def test_a_known_driver_claims_the_plug_in_at_a_link(phone: httpx.AsyncClient, w: World) -> None:
    assert (await phone.post("/d/api/claim", json={"link": link(w)})).json() == {"plug_in": None}
    await w.plug(None)
    await w.quiet()
    path_only = link(w).removeprefix(ORIGIN)
    assert (await phone.post("/d/api/claim", json={"link": path_only})).json()["plug_in"]["id"] == w.plug_in.id


async def test_s1_a_link_alone_is_refused_where_a_card_charges_and_the_answer_says_what_to_do(
    phone: httpx.AsyncClient, w: World
) -> None:
    """P1, P4: also right after signing up there; the card is shown, and the question comes by itself."""
    card = IdToken("CARD-NOBODY")
    await w.token(IdTokenRecord(token=card.value))
    w.clock.pass_(16 * 60)
    await w.take(w.started(card))
    before = w.plug_in
    answer = await phone.post("/d/api/claim", json={"link": link(w)})
    assert (answer.status_code, answer.json()["reason"], answer.json()["field"]) == (409, "card", "link")
    assert "show that card at the charging point within two minutes" in answer.json()["detail"]
    assert w.plug_in == before
    await w.take(w.authorize(card))
    state = (await phone.get("/d/api/state")).json()
    assert (state["plug_in"]["id"], state["plug_in"]["permission"]["state"]) == (before.id, "asked")


async def test_s1_who_signs_up_where_a_card_charges_has_an_account_and_no_claim(
    web: httpx.AsyncClient, w: World
) -> None:
    """P1."""
    await w.token(IdTokenRecord(token="CARD-NOBODY"))
    await w.take(w.started(IdToken("CARD-NOBODY")))
    assert (await web.post("/d/api/register", json=registration(link(w)))).status_code == 201
    assert w.plug_in.user is None


async def test_s2_who_was_taken_over_from_is_told_where(phone: httpx.AsyncClient, w: World) -> None:
    """P1."""
    await w.person()
    await w.plug(None)
    assert (await phone.get("/d/api/state")).json()["taken_over"] is None
    await w.system.rooms.matching.claim(AOI, E1)
    state = (await phone.get("/d/api/state")).json()
    assert (state["plug_in"], state["taken_over"]) == (None, {"station": STATION, "evse": 1})


async def test_a_link_shows_its_evse_to_anybody_and_nothing_of_its_driver(web: httpx.AsyncClient, w: World) -> None:
    shown = await web.get("/d/api/evse", params={"link": link(w)})
    free = {"station": STATION, "evse": 1, "online": True, "private": False, "plugged": False, "waiting": False}
    assert shown.json() == free
    await w.plug(None)
    assert (await web.get("/d/api/evse", params={"link": link(w)})).json() == free | {"plugged": True, "waiting": True}
    await w.person()
    await w.system.rooms.matching.claim(AOI, E1)
    assert (await web.get("/d/api/evse", params={"link": link(w)})).json() == free | {"plugged": True}
    assert (await web.get("/d/api/evse", params={"link": "/d/e/CS-1/1?s=bad"})).status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("", 200),
        ("/d/e/CS-1/1?s=bad", 404),
        ("/d/e/CS-1/1", 404),
        ("/d/e/CS-1/x?s=bad", 404),
        ("/d/e/%3Cscript%3E/1?s=%E3%81%82", 404),
        ("/d/", 200),
    ],
)
async def test_the_page_behind_a_link_opens_and_echoes_nothing(
    web: httpx.AsyncClient, w: World, path: str, status: int
) -> None:
    answer = await web.get(path or link(w))
    assert answer.status_code == status
    assert answer.content == (FILES / "index.html").read_bytes()


@given(st.text(max_size=80))
def test_any_text_as_a_link_is_refused_with_a_clear_error(text: str) -> None:
    with suppress(BadRequest):
        station, evse, signature = links.parts(text)
        assert station
        assert evse >= 0
        assert signature.isascii()


async def test_what_people_wrote_comes_back_as_json_text_only(web: httpx.AsyncClient, w: World) -> None:
    name = "<img src=x onerror=alert(1)>"
    await web.post("/d/api/register", json=registration(link(w), name=name))
    state = await web.get("/d/api/state")
    assert state.json()["user"]["name"] == name
    assert state.headers["content-type"] == "application/json"
    assert state.headers["x-content-type-options"] == "nosniff"


# --- the stream, over a real socket


@pytest.fixture
async def server(w: World) -> AsyncIterator[HttpServer]:
    started = await serve(application(w), "127.0.0.1", 0)
    yield started
    await started.close()


@asynccontextmanager
async def stream(server: HttpServer, w: World) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The states that a registered phone is sent."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=10) as client:
        assert (await client.post("/d/api/register", json=registration(link(w)))).status_code == 201
        async with client.stream("GET", "/d/api/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield _states(answer)


async def _states(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def test_the_stream_tells_the_state_at_once_and_at_every_change(server: HttpServer, w: World) -> None:
    """P3: the terminal is told at once that the vehicle is plugged in."""
    async with stream(server, w) as states:
        assert (await anext(states))["plug_in"] is None
        await w.plug(None)
        asked = await anext(states)
        assert asked["plug_in"]["permission"]["state"] == "asked"
        await w.say()
        while (await anext(states))["plug_in"]["permission"]["state"] != "granted":
            pass
        started = w.event(0, token=w.stations.of(StartTransaction)[-1].token, charging_state="Charging")
        await w.take(started, w.metered(power_import_w=3000.0))
        while (await anext(states))["plug_in"]["power_w"] != 3000:
            pass


async def test_closing_the_server_ends_the_streams(w: World) -> None:
    server = await serve(application(w), "127.0.0.1", 0)
    async with stream(server, w) as states:
        await anext(states)
        closing = asyncio.create_task(server.close())
        assert [state async for state in states] == []
        await closing
    assert w.system.feed._bells == {}


async def test_a_busy_port_is_one_clear_error(server: HttpServer, w: World) -> None:
    with pytest.raises(PortBusy, match=str(server.port)):
        await serve(application(w), "127.0.0.1", server.port)


# --- the files


def files() -> list[Path]:
    return sorted(path for path in FILES.rglob("*") if path.is_file())


def test_the_whole_app_is_small() -> None:
    """Design §5: under 100 kB."""
    assert sum(path.stat().st_size for path in files()) < 100_000


def catalogue(name: str) -> dict[str, str]:
    read: dict[str, str] = json.loads((FILES / "i18n" / f"{name}.json").read_text(encoding="utf-8"))
    return read


def placeholders(text: str) -> set[str | None]:
    return {field for _, field, _, _ in Formatter().parse(text) if field}


def test_the_catalogues_say_the_same_things() -> None:
    english, japanese = catalogue("en"), catalogue("ja")
    assert english.keys() == japanese.keys()
    assert {key for key in english if placeholders(english[key]) != placeholders(japanese[key])} == set()


def test_every_prepared_pattern_and_permission_state_has_its_words() -> None:
    words = catalogue("en").keys()
    assert {f"pattern.{pattern.name}" for pattern in PREPARED} <= words
    assert {f"permission.{state}" for state in PermissionState} <= words
    assert {f"claim.{why}" for why in Refusal} <= words


def test_markup_is_never_made_from_text() -> None:
    """Everything that people wrote goes in as text."""
    scripts = "".join(path.read_text(encoding="utf-8") for path in files() if path.suffix == ".js")
    assert not [
        word for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(") if word in scripts
    ]


def test_the_service_worker_keeps_every_file_of_the_shell() -> None:
    """P10: the page opens when the server cannot be reached."""
    worker = (FILES / "sw.js").read_text(encoding="utf-8")
    shell = {f"/d/{path.relative_to(FILES).as_posix()}" for path in files()} - {"/d/sw.js", "/d/index.html"}
    assert {name for name in shell if f'"{name}"' not in worker} == set()
