"""A driver's vehicles, terminals and named conditions; what the host of an EVSE sets. B7, B12-B14; P1, P10."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from csms.domain.station import ConnectorStatus
from csms.edge.http.auth import TERMINAL_COOKIE
from csms.edge.http.driver_state import DriverPage
from csms.edge.http.streams import states
from tests.control.kit import E1, World
from tests.http.kit import ORIGIN, application, bearer, link, registration
from tests.http.test_driver import CONDITIONS


@pytest.fixture
async def second(w: World) -> AsyncIterator[httpx.AsyncClient]:
    """Another browser, which nobody knows."""
    transport = httpx.ASGITransport(application(w))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield client


async def state(of: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await of.get("/d/api/state")).json()
    return found


async def test_a_second_phone_is_linked_by_a_code_and_revoked(
    phone: httpx.AsyncClient, second: httpx.AsyncClient
) -> None:
    """B14: the same user on both; the first ends the second."""
    code = (await phone.post("/d/api/terminals/code", json={})).json()["code"]
    linked = await second.post("/d/api/terminals", json={"code": code, "name": "tablet"})
    assert linked.status_code == 201
    assert linked.json()["user"] == {key: (await state(phone))["user"][key] for key in ("id", "name")}
    assert (await state(second))["user"] == (await state(phone))["user"]
    terminals = {each["name"]: each for each in (await phone.get("/d/api/terminals")).json()}
    assert {name: each["current"] for name, each in terminals.items()} == {"": True, "tablet": False}
    gone = await phone.delete(f"/d/api/terminals/{terminals['tablet']['id']}")
    assert gone.status_code == 204
    assert (await second.get("/d/api/state")).status_code == 401


async def test_what_a_revoked_terminal_listens_to_ends(phone: httpx.AsyncClient, me: str, w: World) -> None:
    """B14: at once, not at its next request."""
    user = await w.system.people.of_terminal(phone.cookies[TERMINAL_COOKIE])
    assert user is not None
    page = DriverPage(w.store, w.clock, w.system.driver_view, "JPY")

    async def is_linked() -> bool:
        return await w.system.people.of_terminal(phone.cookies[TERMINAL_COOKIE]) is not None

    heard = states(page, w.system.feed, is_linked, user, asyncio.Event())
    await anext(heard)
    (terminal,) = (await phone.get("/d/api/terminals")).json()
    await phone.delete(f"/d/api/terminals/{terminal['id']}")
    assert [event async for event in heard] == []


async def test_a_code_is_asked_for_by_a_linked_terminal_only(second: httpx.AsyncClient) -> None:
    assert (await second.post("/d/api/terminals/code", json={})).status_code == 401


async def test_codes_that_are_guessed_are_limited(second: httpx.AsyncClient, w: World) -> None:
    """B14: from one address, right or wrong."""
    limit = w.settings.security.failures_per_minute
    tries = [await second.post("/d/api/terminals", json={"code": f"AAAAAA{n:02}"}) for n in range(limit + 1)]
    assert [answer.status_code for answer in tries] == [404] * limit + [429]
    assert TERMINAL_COOKIE not in second.cookies


async def test_vehicles_are_added_renamed_shared_and_deleted(
    phone: httpx.AsyncClient, second: httpx.AsyncClient, w: World
) -> None:
    """B14, P1."""
    van = {"name": "Van", "capacity_wh": 60_000, "plate": "ABC 123", "vin": "JN1"}
    added = (await phone.post("/d/api/vehicles", json=van)).json()
    assert (added["plate"], added["vin"], added["shared"]) == ("ABC 123", "JN1", False)
    renamed = await phone.put(f"/d/api/vehicles/{added['id']}", json={"name": "Blue van"})
    assert (renamed.json()["name"], renamed.json()["capacity_wh"]) == ("Blue van", 60_000)
    await second.post("/d/api/register", json=registration(link(w), name="Ken"))
    code = (await phone.post(f"/d/api/vehicles/{added['id']}/code", json={})).json()["code"]
    joined = await second.post("/d/api/vehicles/join", json={"code": code})
    assert (joined.json()["id"], joined.json()["shared"]) == (added["id"], True)
    refused = await second.put(f"/d/api/vehicles/{added['id']}", json={"name": "mine"})
    assert refused.status_code == 403
    assert (await phone.delete(f"/d/api/vehicles/{added['id']}")).status_code == 204
    assert [each["name"] for each in (await state(phone))["vehicles"]] == ["Leaf"]
    assert added["id"] not in [each["id"] for each in (await state(second))["vehicles"]]


async def test_p1_an_owner_sees_who_shares_a_vehicle_and_takes_it_back(
    phone: httpx.AsyncClient, second: httpx.AsyncClient, w: World
) -> None:
    """S3."""
    vehicle = (await state(phone))["vehicles"][0]["id"]
    ken = (await second.post("/d/api/register", json=registration(link(w), name="Ken"))).json()["user"]["id"]
    code = (await phone.post(f"/d/api/vehicles/{vehicle}/code", json={})).json()["code"]
    await second.post("/d/api/vehicles/join", json={"code": code})
    path = f"/d/api/vehicles/{vehicle}/users"
    assert (await phone.get(path)).json() == [{"id": ken, "name": "Ken"}]
    assert (await second.get(path)).status_code == 403
    assert (await second.delete(f"{path}/{ken}")).status_code == 403
    assert (await phone.delete(f"{path}/{ken}")).status_code == 204
    assert (await phone.delete(f"{path}/{ken}")).status_code == 404
    assert (await phone.get(path)).json() == []
    assert vehicle not in [each["id"] for each in (await state(second))["vehicles"]]


async def test_p1_who_shares_a_vehicle_leaves_it(phone: httpx.AsyncClient, second: httpx.AsyncClient, w: World) -> None:
    vehicle = (await state(phone))["vehicles"][0]["id"]
    await second.post("/d/api/register", json=registration(link(w), name="Ken"))
    code = (await phone.post(f"/d/api/vehicles/{vehicle}/code", json={})).json()["code"]
    await second.post("/d/api/vehicles/join", json={"code": code})
    assert (await second.delete(f"/d/api/vehicles/{vehicle}")).status_code == 204
    assert vehicle in [each["id"] for each in (await state(phone))["vehicles"]]
    assert vehicle not in [each["id"] for each in (await state(second))["vehicles"]]


async def test_particulars_that_are_changed_hold_for_the_running_plug_in(phone: httpx.AsyncClient, w: World) -> None:
    """P1: a battery typed wrong at the first plug-in."""
    await w.plug(None)
    await w.quiet()
    vehicle = (await state(phone))["vehicles"][0]["id"]
    await phone.put(f"/d/api/vehicles/{vehicle}", json={"name": "Leaf", "capacity_wh": 62_000})
    assert w.evse.vehicle is not None
    assert w.evse.vehicle.capacity_wh == 62_000


async def test_the_vehicle_and_the_state_of_charge_come_with_the_answer(phone: httpx.AsyncClient, w: World) -> None:
    """A6, B14."""
    van = (await phone.post("/d/api/vehicles", json={"name": "Van"})).json()["id"]
    await w.plug(None)
    await w.quiet()
    path = f"/d/api/plug-ins/{w.plug_in.id}"
    body = {"granted": True, "pattern": "commuter", "vehicle": van, "stated_soc_percent": 35}
    answered = (await phone.post(f"{path}/answer", json=body)).json()
    assert (answered["vehicle"], answered["stated_soc_percent"]) == (van, 35.0)
    assert answered["permission"]["pattern"] == "commuter"
    stated = await phone.put(f"{path}/soc", json={"percent": 40})
    assert stated.json()["stated_soc_percent"] == 40.0
    assert (await phone.put(f"{path}/soc", json={"percent": 101})).status_code == 422
    assert (await phone.post(f"{path}/answer", json={"granted": True, "vehicle": "v-other"})).status_code == 404


async def test_patterns_are_kept_chosen_and_deleted_by_name(phone: httpx.AsyncClient) -> None:
    """B12, P10: a prepared one leaves "mine" as it is."""
    slots = [{"start": "18:00", "end": "20:00", "once": "2026-07-03", "mode": "charge_only"}]
    mine = CONDITIONS | {"slots": slots}
    await phone.put("/d/api/conditions", json=mine)
    trip = await phone.put("/d/api/patterns/trip", json={"conditions": CONDITIONS | {"required_kwh": "12.5"}})
    assert trip.json()["conditions"]["required_kwh"] == "12.5"
    chosen = await phone.post("/d/api/patterns/commuter/choose", json={})
    assert (chosen.json()["name"], chosen.json()["chosen"]) == ("commuter", True)
    found = {each["name"]: each for each in (await phone.get("/d/api/patterns")).json()}
    assert set(found) == {"mine", "trip", "commuter", "entrust", "always-80"}
    kept_slot = found["mine"]["conditions"]["slots"][0]
    assert (kept_slot["once"], kept_slot["mode"]) == ("2026-07-03", "charge_only")
    assert [name for name, each in found.items() if each["chosen"]] == ["commuter"]
    assert (await phone.put("/d/api/patterns/commuter", json={"conditions": CONDITIONS})).status_code == 422
    assert (await phone.delete("/d/api/patterns/trip")).status_code == 204
    assert (await phone.delete("/d/api/patterns/trip")).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"min_sell_per_kwh": "-5"}, "min_sell_per_kwh"),
        ({"required_kwh": "-1"}, "required_kwh"),
        ({"required_kwh": "5000"}, "required_kwh"),
        ({"slots": [{"start": "18:00", "end": "20:00", "mode": "anything"}]}, "slots.0.mode"),
    ],
)
async def test_conditions_that_make_no_sense_are_refused_with_the_field(
    phone: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    """E2, P7: nobody pays for what they give."""
    answer = await phone.put("/d/api/conditions", json=CONDITIONS | change)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_what_is_saved_is_what_the_page_says_holds_now(phone: httpx.AsyncClient, w: World) -> None:
    """B2, B12: for the plug-in that runs."""
    await w.plug(None)
    await w.quiet()
    await phone.post(f"/d/api/plug-ins/{w.plug_in.id}/answer", json={"granted": True})
    await phone.put("/d/api/conditions", json=CONDITIONS | {"required_soc_percent": 95})
    held = (await state(phone))["plug_in"]["permission"]
    assert (held["state"], held["conditions"]["required_soc_percent"], held["pattern"]) == ("granted", 95, "mine")
    assert held["revised_at"] is not None


async def test_a_link_never_opens_a_private_evse_for_a_stranger(
    phone: httpx.AsyncClient, second: httpx.AsyncClient, me: str, w: World
) -> None:
    """B7: a clear 403, and nothing is shown of what stands there."""
    w.evse.evse = replace(w.evse.evse, public=False)
    w.station.station = replace(w.station.station, host="u-somebody", evses=(w.evse.evse,))
    await w.plug(None)
    refused = await phone.post("/d/api/claim", json={"link": link(w)})
    assert (refused.status_code, refused.json()["field"]) == (403, "link")
    shown = (await second.get("/d/api/evse", params={"link": link(w)})).json()
    assert (shown["private"], shown["plugged"], shown["waiting"]) == (True, False, False)


async def test_the_host_of_an_evse_sets_what_it_gives_and_whom_it_lets_in(
    web: httpx.AsyncClient, phone: httpx.AsyncClient, me: str, w: World
) -> None:
    """B7, B13: at once, and only at the host's own."""
    path = "/api/v1/stations/CS-1/evses/1"
    body = {"public": False, "allowed": [me], "on_refusal": "nothing"}
    changed = await web.patch(path, json=body, headers=bearer("host"))
    assert changed.status_code == 200, changed.text
    evse = changed.json()["evses"][0]
    found = (evse["public"], evse["allowed"], evse["on_refusal"], evse["on_no_answer"])
    assert found == (False, [me], "nothing", None)
    assert (await phone.post("/d/api/claim", json={"link": link(w)})).status_code == 200
    assert w.at(E1).evse.on_refusal == "nothing"
    for token, status in (("driver", 403), ("read", 403), ("operator", 200)):
        assert (await web.patch(path, json={}, headers=bearer(token))).status_code == status
    w.station.station = replace(w.station.station, host="somebody")
    assert (await web.patch(path, json=body, headers=bearer("host"))).status_code == 403
    assert (await web.patch(f"{path}1", json={}, headers=bearer("operator"))).status_code == 404


async def test_a_station_is_provisioned_with_its_hosts_choice(web: httpx.AsyncClient) -> None:
    """B13."""
    evse = {"evse": 1, "public": False, "on_refusal": "charge", "on_no_answer": "nothing", "allowed": ["u-1"]}
    body = {"id": "CS-9", "password": "correct-horse-battery", "host": "inn", "evses": [evse]}
    made = (await web.post("/api/v1/stations", json=body, headers=bearer())).json()["evses"][0]
    assert {key: made[key] for key in evse} == evse


async def test_s1_of_two_phones_that_change_a_vehicle_neither_undoes_what_the_other_has_set(
    phone: httpx.AsyncClient,
) -> None:
    """One said that it is never discharged; the other gave another capacity, and wrote the power of before."""
    here = f"/d/api/vehicles/{(await phone.get('/d/api/vehicles')).json()[0]['id']}"
    careful = phone.put(here, json={"name": "Leaf", "max_discharge_w": 0})
    answers = await asyncio.gather(careful, phone.put(here, json={"name": "Leaf", "capacity_wh": 50_000}))
    assert [answer.status_code for answer in answers] == [200, 200]
    (stored,) = (await phone.get("/d/api/vehicles")).json()
    assert (stored["capacity_wh"], stored["max_discharge_w"]) == (50_000, 0)


async def test_s1_particulars_that_are_changed_while_an_answer_is_stored_hold_for_the_plug_in(
    phone: httpx.AsyncClient, w: World
) -> None:
    """The answer had read the vehicle before: it ran with the power of before until the next restart."""
    await w.take(w.status(ConnectorStatus.PREPARING))
    plug_in = (await phone.get("/d/api/state")).json()["plug_in"]
    here = f"/d/api/vehicles/{plug_in['vehicle']}"
    for power_w in range(100, 1100, 100):
        yes = phone.post(f"/d/api/plug-ins/{plug_in['id']}/answer", json={"granted": True})
        change = phone.put(here, json={"name": "Leaf", "max_charge_w": power_w, "max_discharge_w": 0})
        answers = await asyncio.gather(yes, change)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert w.evse.vehicle is not None
        assert w.evse.vehicle.max_charge_w == power_w
