"""Who may connect. V2G-43, issue item 1."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from csms.control.stations.credentials import hash_password, new_password
from csms.control.stations.logins import source_of
from csms.domain.errors import BadRequest, BadSettings
from csms.domain.ids import StationId
from csms.domain.ports import Admitted, Refused
from csms.domain.station import BootState
from csms.settings import load
from csms.store import reads, writes
from tests.control.kit import S, World, station, world

SECRET = b"0123456789abcdef0123456789ABCDEF"


async def guard(w: World, password: bytes = SECRET) -> None:
    hashed = hash_password(password.decode())
    await w.store.writer.run(partial(writes.upsert_station, station=station(), password_hash=hashed))
    await w.system.admission.load()


HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


async def status(
    w: World, password: bytes | None = SECRET, user: str | None = S, name: str = S, source: str = HERE
) -> int:
    verdict = await w.system.admission.admit(name, user, password, source)
    return verdict.http_status if isinstance(verdict, Refused) else 101


async def test_the_right_password_is_let_in_and_told_what_is_known_of_the_station(w: World) -> None:
    await guard(w)
    assert await w.system.admission.admit(S, S, SECRET, HERE) == Admitted(
        station=S, quirks=w.quirks, boot_state=BootState.ACCEPTED
    )


@pytest.mark.parametrize(
    ("user", "password"), [(S, b"wrong"), (S, None), (None, None), ("CS-2", SECRET), (S, SECRET[:-1])]
)
async def test_anything_else_is_refused(w: World, user: str | None, password: bytes | None) -> None:
    await guard(w)
    assert await status(w, password, user) == 401
    assert await status(w) == 101
    assert await status(w, password, user) == 401


RAW = bytes.fromhex(SECRET.decode())


@pytest.mark.parametrize(
    ("kept", "sent"),
    [
        (SECRET, SECRET),
        (SECRET.lower(), RAW),
        (SECRET.upper(), RAW),
        (b"sixteen letters!", b"sixteen letters!".hex().encode()),
    ],
    ids=["as it is", "raw bytes of small hex", "raw bytes of large hex", "hex of a text"],
)
async def test_one_secret_is_known_in_every_form_that_stations_send_it_in(w: World, kept: bytes, sent: bytes) -> None:
    """V2G-43: AuthorizationKey is hex in the configuration and raw bytes in the header."""
    await guard(w, kept)
    assert await status(w, sent) == 101


async def test_an_unknown_station_is_not_found(w: World) -> None:
    """Issue item 1: refused by default."""
    assert await status(w, name="nobody") == 404
    assert "nobody" not in w.system.live.stations


async def test_an_unknown_station_is_provisioned_on_the_spot_where_that_is_the_setting(tmp_path: Path) -> None:
    """``auto_register``."""
    async with world(tmp_path, ocpp={"auto_register": True}) as w:
        assert await status(w, None, None, "new") == 101
        kept = await w.store.read(partial(reads.station, id=StationId("new")))
        assert kept is not None
        assert len(kept.evses) == 1
        assert await status(w, None, None, "new") == 101


async def test_a_station_without_a_password_is_the_operators_choice(w: World) -> None:
    """Security profile 0."""
    assert await status(w, None, None) == 101
    assert await status(w, b"anything", "anybody") == 101


async def test_wrong_tries_of_one_address_have_to_wait_a_minute(w: World) -> None:
    """V2G-43: the rate is limited, no station is locked."""
    await guard(w)
    assert [await status(w, b"wrong") for _ in range(10)] == [401] * 10
    assert await status(w, b"wrong") == 429
    assert await status(w, b"wrong", source=ELSEWHERE) == 401
    w.clock.pass_(60)
    assert await status(w, b"wrong") == 401


async def test_c4_a_stranger_never_locks_a_station_out_of_a_server_that_has_just_started(w: World) -> None:
    """C4: ten wrong tries by name, and the real station was refused."""
    await guard(w)
    for _ in range(30):
        await status(w, b"wrong", source=ELSEWHERE)
    assert await status(w) == 101


async def test_c4_whoever_knows_the_password_gets_in_from_a_limited_address_too(w: World) -> None:
    """C4: stations behind one address share its failures, and none of them is locked out for that."""
    made = await w.system.registry.renew_password(S)
    other = station(StationId("CS-7"))
    await w.system.registry.add(other, SECRET.decode())
    for _ in range(30):
        await status(w, b"wrong", name="nobody")
    assert await status(w, made.encode()) == 101
    assert await status(w, b"wrong") == 429
    assert await status(w, SECRET, other.id, other.id) == 101


async def test_c4_from_a_limited_address_a_chosen_password_can_be_guessed_once_a_second_only(w: World) -> None:
    """C4: each guess is a slow check."""
    await guard(w)
    for _ in range(10):
        await status(w, b"wrong")
    checks = count_checks(w)
    assert [await status(w, b"wrong") for _ in range(20)] == [429] * 20
    assert len(checks) == 1
    w.clock.pass_(1)
    assert await status(w) == 101


async def test_c4_guesses_made_at_once_are_counted_before_they_are_awaited(w: World) -> None:
    """C4: 80 parallel guesses all were checked."""
    await guard(w)
    checks = count_checks(w)
    verdicts = await asyncio.gather(*(status(w, b"wrong") for _ in range(80)))
    assert (verdicts.count(401), verdicts.count(429)) == (10, 70)
    assert len(checks) == 10


async def test_c4_a_fleet_behind_one_address_is_let_in_whole(w: World) -> None:
    """C4: checks that run count as failures only until they succeed; the others wait for them."""
    for number in range(40):
        await w.system.registry.add(station(StationId(f"F-{number}")), SECRET.decode())
    verdicts = await asyncio.gather(*(status(w, SECRET, f"F-{n}", f"F-{n}") for n in range(40)))
    assert verdicts == [101] * 40


async def test_c4_who_hangs_up_during_the_check_is_known_at_the_next_try(w: World) -> None:
    """C4: a fleet whose handshakes run out of time would be checked again and again, and be counted as failures."""
    await guard(w)
    for _ in range(12):
        trying = asyncio.ensure_future(status(w))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        trying.cancel()
        await asyncio.gather(trying, return_exceptions=True)
    assert w.system.admission._checking
    await asyncio.gather(*w.system.admission._checking)
    checks = count_checks(w)
    assert await status(w) == 101
    assert checks == []


def count_checks(w: World) -> list[bytes]:
    """Passwords that were checked slowly from now on: the real check, counted."""
    passwords = w.system.admission._passwords
    checked: list[bytes] = []
    fits = passwords.fits

    def counted(kept: str, id_: StationId, password: bytes) -> bool:
        checked.append(password)
        return fits(kept, id_, password)

    passwords.fits = counted  # type: ignore[method-assign]
    return checked


async def test_a_made_password_is_kept_as_a_keyed_hash_of_its_station(w: World) -> None:
    """C4, aim 5: what is kept opens nothing, and does not fit another station or another server."""
    made = await w.system.registry.renew_password(S)
    other = station(StationId("CS-7"))
    await w.system.registry.add(other, made, is_made=True)
    kept = await w.store.read(reads.password_hashes)
    assert made not in kept[S]
    assert kept[S] != kept[other.id]
    for form in (made.encode(), made.upper().encode().lower(), bytes.fromhex(made)):
        assert await status(w, form) == 101
    assert await status(w, made[:-1].encode()) == 401
    assert len(bytes.fromhex(new_password())) * 8 >= 128
    assert await w.store.read(partial(reads.secret, name="station-passwords")) not in kept[S]


async def test_a_made_password_still_fits_after_a_restart(w: World) -> None:
    made = await w.system.registry.renew_password(S)
    await w.restart()
    assert await status(w, made.encode()) == 101
    await w.system.registry.change(S, None, SECRET.decode())
    assert await status(w, made.encode()) == 401
    assert await status(w) == 101


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_a_host_counts_once_whatever_of_its_addresses_it_uses(one: str, other: str, same: bool) -> None:
    """C4: an IPv6 host has 2^64 addresses of its own."""
    assert (source_of(one) == source_of(other)) is same


@pytest.mark.parametrize("password", ["short", "x" * 15, "x" * 65])
def test_a_password_of_a_bad_length_is_a_bad_request(password: str) -> None:
    """OCPP 2.x A00.FR.205."""
    with pytest.raises(BadRequest, match="16 to 64"):
        hash_password(password)


def test_a_password_is_kept_as_a_salted_hash() -> None:
    one, two = hash_password("x" * 16), hash_password("x" * 16)
    assert one != two
    assert "x" * 16 not in one


async def test_a_station_that_never_booted_is_let_in_as_such(w: World) -> None:
    """V2G-61."""
    w.station.station = replace(w.station.station, boot_state=BootState.NEVER)
    verdict = await w.system.admission.admit(S, None, None, HERE)
    assert isinstance(verdict, Admitted)
    assert verdict.boot_state is BootState.NEVER


def test_a_site_for_unknown_stations_that_is_not_configured_stops_the_start() -> None:
    """Must hold 1: such a station would have no known fuse."""
    unknown = {"CSMS_OCPP__AUTO_REGISTER": "true", "CSMS_OCPP__AUTO_REGISTER_SITE": "yard"}
    with pytest.raises(BadSettings, match=r"ocpp\.auto_register_site: there is no \[\[site\]\] yard"):
        load(None, unknown)
    assert load(None, unknown | {"CSMS_OCPP__AUTO_REGISTER": "false"}).ocpp.auto_register_site == "yard"
