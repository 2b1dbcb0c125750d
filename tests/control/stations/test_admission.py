"""Who may connect. V2G-43, issue item 1."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from csms.control.stations.admission import hash_password
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


async def status(w: World, password: bytes | None = SECRET, user: str | None = S, name: str = S) -> int:
    verdict = await w.system.admission.admit(name, user, password)
    return verdict.http_status if isinstance(verdict, Refused) else 101


async def test_the_right_password_is_let_in_and_told_what_is_known_of_the_station(w: World) -> None:
    await guard(w)
    assert await w.system.admission.admit(S, S, SECRET) == Admitted(
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


async def test_too_many_wrong_tries_have_to_wait_a_minute(w: World) -> None:
    """V2G-43: the rate is limited, nothing is locked."""
    await guard(w)
    assert [await status(w, b"wrong") for _ in range(11)] == [401] * 10 + [429]
    assert await status(w) == 429
    w.clock.pass_(60)
    assert await status(w) == 101


async def test_a_station_that_was_let_in_before_is_let_in_whoever_else_tries(w: World) -> None:
    """V2G-43: an attacker must not lock a station out."""
    await guard(w)
    assert await status(w) == 101
    for _ in range(20):
        await status(w, b"wrong")
    assert await status(w) == 101
    assert await status(w, b"wrong") == 429


async def test_tries_with_unknown_names_are_limited_name_by_name(w: World) -> None:
    for _ in range(10):
        await status(w, name="nobody")
    assert await status(w, name="nobody") == 429
    assert await status(w, name="somebody") == 404


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
    verdict = await w.system.admission.admit(S, None, None)
    assert isinstance(verdict, Admitted)
    assert verdict.boot_state is BootState.NEVER


def test_a_site_for_unknown_stations_that_is_not_configured_stops_the_start() -> None:
    """Must hold 1: such a station would have no known fuse."""
    unknown = {"CSMS_OCPP__AUTO_REGISTER": "true", "CSMS_OCPP__AUTO_REGISTER_SITE": "yard"}
    with pytest.raises(BadSettings, match=r"ocpp\.auto_register_site: there is no \[\[site\]\] yard"):
        load(None, unknown)
    assert load(None, unknown | {"CSMS_OCPP__AUTO_REGISTER": "false"}).ocpp.auto_register_site == "yard"
