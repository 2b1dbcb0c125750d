"""Frames that no station should send: golden frames with one to three things wrong; a seed gives the same ones again.

``python -m tests.faults.mutate [--frames 20000] [--seed 1]`` sends them to a real server in this process, one socket
for each OCPP version, and says what was wrong in the end; nothing = as it should be.
"""

import argparse
import asyncio
import copy
import logging
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import structlog
from sqlalchemy import select
from websockets.exceptions import ConnectionClosed

from csms.domain.station import Version
from csms.store.tables import METADATA, QUARANTINE
from tests.e2e.world import World, world_on

FRAMES = Path(__file__).resolve().parent.parent / "frames"
FOLDERS = {Version.V16: "v16", Version.V201: "v201", Version.V21: "v21"}

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    -(2**31),
    2**53,
    2**63,
    -(2**63),
    2**64 - 1,
    1e308,
    -0.0,
    0.1,
    "",
    " ",
    "x" * 300,
    "\x00",
    "😀",
    "é" * 60,
    "-1",
    "NaN",
    "1e999",
    "12,5",
    "1_0",
    "2026-13-45T99:99:99Z",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+23:59",
    "2026-11-20T17:00:00",
    "null",
    [],
    {},
    [[]],
    [None],
    [{}],
    {"": {}},
    {"a": [1, {"b": None}]},
    ["x"] * 200,
)
"""Values that stand where others should."""

Mutation = Callable[[random.Random, list[Any]], bytes]


def golden(version: Version) -> list[list[Any]]:
    """The frames that a station of this version sends."""
    files = sorted((FRAMES / FOLDERS[version]).glob("*.json"))
    data = [orjson.loads(path.read_bytes()) for path in files]
    return [case["frame"] for case in data if case["direction"] == "in"]


def mutations(version: Version, count: int, seed: int) -> Iterator[bytes]:
    """So many frames, each with a message id of its own where it has one."""
    chance = random.Random(f"{seed} {version.value}")
    frames = golden(version)
    for number in range(count):
        frame = orjson.loads(orjson.dumps(chance.choice(frames)))
        frame[1] = f"mutant-{number}"
        yield chance.choice(MUTATIONS)(chance, frame)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    here = [(value, key) for key, _ in inside]
    return here + [place for container, key in here for place in _places(container[key])]


def _place(chance: random.Random, frame: list[Any]) -> tuple[Any, Any]:
    return chance.choice(_places(frame[3]) or [(frame, 3)])


def _odd(chance: random.Random) -> Any:
    return copy.deepcopy(chance.choice(ODD))


def _dumped(frame: Any) -> bytes:
    return orjson.dumps(frame)


def replaced(chance: random.Random, frame: list[Any]) -> bytes:
    for _ in range(chance.randint(1, 3)):
        container, key = _place(chance, frame)
        container[key] = _odd(chance)
    return _dumped(frame)


def removed(chance: random.Random, frame: list[Any]) -> bytes:
    for _ in range(chance.randint(1, 3)):
        container, key = _place(chance, frame)
        if container is not frame:
            del container[key]
    return _dumped(frame)


def renamed(chance: random.Random, frame: list[Any]) -> bytes:
    container, key = _place(chance, frame)
    if isinstance(container, dict):
        container[chance.choice((key.upper(), f" {key}", f"{key}x", ""))] = container.pop(key)
    return _dumped(frame)


def added(chance: random.Random, frame: list[Any]) -> bytes:
    container, _ = _place(chance, frame)
    if isinstance(container, dict):
        container[chance.choice(("colour", "customData", "__proto__", "x" * 500))] = _odd(chance)
    return _dumped(frame)


def swapped(chance: random.Random, frame: list[Any]) -> bytes:
    (one, first), (other, second) = _place(chance, frame), _place(chance, frame)
    one[first], other[second] = orjson.loads(_dumped(other[second])), orjson.loads(_dumped(one[first]))
    return _dumped(frame)


def repeated(chance: random.Random, frame: list[Any]) -> bytes:
    container, key = _place(chance, frame)
    container[key] = [copy.deepcopy(container[key]) for _ in range(chance.choice((0, 2, 50)))]
    return _dumped(frame)


def misheaded(chance: random.Random, frame: list[Any]) -> bytes:
    """Type, message id, action, number of parts."""
    where = chance.randrange(3)
    frame[where] = chance.choice((*ODD, 2, 3, 4, 5, 6, 7, "2", "Heartbeat", "StopTransaction", "Reset"))
    cut = frame[: chance.choice((0, 1, 2, 3, 4, 4, 4))]
    return _dumped(cut + [_odd(chance)] * chance.choice((0, 0, 1)))


def answered(chance: random.Random, frame: list[Any]) -> bytes:
    """An answer that nobody waits for, or an error, or a message that is not answered."""
    kind = chance.choice((3, 4, 5, 6))
    return _dumped([kind, frame[1], *chance.choice(([frame[3]], ["X", "y", {}], [frame[2], frame[3]], [], [None]))])


def nested(chance: random.Random, frame: list[Any]) -> bytes:
    container, key = _place(chance, frame)
    container[key] = "@"
    opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
    depth = chance.choice((5, 60, 150, 300, 2000))
    inner = opening * depth + "1" + closing * depth
    return _dumped(frame).replace(b'"@"', inner.encode(), 1)


def cut(chance: random.Random, frame: list[Any]) -> bytes:
    raw = _dumped(frame)
    return raw[: chance.randrange(len(raw))]


def garbled(chance: random.Random, frame: list[Any]) -> bytes:
    """Bytes changed, put in and taken out; not always UTF-8."""
    raw = bytearray(_dumped(frame))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(raw))
        raw[at : at + chance.randint(0, 3)] = bytes(chance.randrange(256) for _ in range(chance.randint(0, 3)))
    return bytes(raw)


def overlong(chance: random.Random, frame: list[Any]) -> bytes:
    container, key = _place(chance, frame)
    container[key] = chance.choice(("x" * 20_000, ["x"] * 5_000, [{"value": 1}] * 2_000))
    return _dumped(frame)


MUTATIONS: tuple[Mutation, ...] = (
    *(replaced,) * 4,
    removed,
    removed,
    renamed,
    added,
    swapped,
    repeated,
    misheaded,
    answered,
    nested,
    cut,
    garbled,
    overlong,
)


class Faults(logging.Handler):
    """What must not happen: errors in the log, exceptions that nobody caught."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(f"log: {self.format(record)[-1200:]}")

    def uncaught(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.found.append(f"uncaught: {context.get('exception')!r} {context['message']}")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def rows_of(world: World, station: str) -> dict[str, list[Any]]:
    """Every row that names the station."""
    tables = [table for table in METADATA.tables.values() if "station" in table.c and table.name != "station"]

    def read(conn: Any) -> dict[str, list[Any]]:
        found = {table.name: conn.execute(select(table).where(table.c.station == station)).all() for table in tables}
        return {name: sorted(map(str, rows)) for name, rows in found.items()}

    with world.daemon.system.store._reading.connect() as conn:
        return read(conn)


def strange_rows(world: World) -> list[str]:
    """EVSEs that cannot be, and what was let through to the database, which could not store it."""
    with world.daemon.system.store._reading.connect() as conn:
        tables = [table for table in METADATA.tables.values() if "evse" in table.c and "station" in table.c]
        odd = [
            (table.name, conn.execute(select(table).where((table.c.evse < -1) | (table.c.evse > 9_999))).all())
            for table in tables
        ]
        unstored = conn.execute(
            select(QUARANTINE).where(QUARANTINE.c.action.in_(["work"]) | QUARANTINE.c.action.like("write %"))
        )
        return [f"row: {name} {row}" for name, rows in odd for row in rows] + [f"not stored: {row}" for row in unstored]


async def torment(world: World, version: Version, count: int, seed: int) -> list[str]:
    """Send the mutants of one version and a Heartbeat after every 20; what was wrong. One socket for all of them."""
    station, wrong = await world.raw(version.number), []
    deadline_s = 30.0
    for number, raw in enumerate(mutations(version, count, seed)):
        try:
            await station.say(raw if number % 2 else raw.decode("utf-8", "replace"))
            if number % 20 == 19:
                async with asyncio.timeout(deadline_s):
                    answer = await station.ask("Heartbeat", {})
                if answer[0] != 3:
                    wrong.append(f"{version.value} heartbeat after mutant {number}: {answer}")
        except (ConnectionClosed, TimeoutError, AssertionError) as error:
            return [*wrong, f"{version.value} mutant {number} {raw[:300]!r}: {error!r}"]
        station.heard.clear()
        station.calls.clear()
    return wrong


async def run(url: str, count: int, seed: int, versions: Sequence[Version] = tuple(Version)) -> tuple[list[str], int]:
    """What was wrong, and by how much the memory grew after the first fifth of the frames, bytes."""
    faults, loop = Faults(), asyncio.get_running_loop()
    logging.getLogger().addHandler(faults)
    loop.set_exception_handler(faults.uncaught)
    try:
        async with world_on(url, dispatch={"tick_s": 1.0}) as world:
            neighbour = await world.raw("1.6")
            await neighbour.tell("Authorize", {"idTag": "N"})
            before = rows_of(world, neighbour.id)
            wrong, grown = [], 0
            for version in versions:
                wrong += await torment(world, version, count // 5, seed)
                start = resident_bytes()
                wrong += await torment(world, version, count - count // 5, seed + 1)
                grown = max(grown, resident_bytes() - start)
            await neighbour.tell("Heartbeat", {})
            if rows_of(world, neighbour.id) != before:
                wrong.append("the neighbour's rows have changed")
            wrong += strange_rows(world)
        return wrong + faults.found, grown
    finally:
        logging.getLogger().removeHandler(faults)
        loop.set_exception_handler(None)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        wrong, grown = asyncio.run(run(f"sqlite:///{folder}/mutants.db", given.frames, given.seed))
    sys.stdout.write("".join(f"{line}\n" for line in wrong))
    seconds = time.monotonic() - start
    sys.stdout.write(
        f"{given.frames} frames a version, {seconds:.0f} s, {len(wrong)} wrong, {grown / 1e6:.1f} MB more\n"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
