"""What a message, an idle station and a fan-out cost our server, beside two others in the same run. Prints JSON.

``python tests/bench/run.py [--stations 500 2000] [--seconds 10] [--rounds 3] [--idle 2000] [--fan-out 1000]``. CPU is
user + system of the server process, from /proc, around the measuring window; the database's own beside it where it is a
process of its own. Every message counted of ours and of the stock server was committed before it was answered;
``ocpp_rpc`` (Node, strict) stores nothing. Rounds are interleaved; given are the least and the median of them.
The figures are of this machine, at this moment: compare within one run, not between runs.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Identifier

HERE = Path(__file__).parent
LOAD, STOCK, HUB_ALONE = HERE / "load.py", HERE / "stock_server.py", HERE / "hub_alone.py"
OCPP_RPC = HERE / "rpc_server.mjs"
POSTGRES = "postgres@127.0.0.1:5432"
START_TIMEOUT_S = 60
SETTLE_S = 3.0
WARM_UP_S = 3.0
WARM_UP_STATIONS = 50


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pid: int) -> float:
    """User + system time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"the server did not start: {process.args}")


@contextmanager
def serving(command: list[str], port: int, env: dict[str, str], directory: str) -> Iterator[int]:
    """A server process until the end of the block; gives its pid."""
    with Path(directory, "server.log").open("ab") as log:
        process = subprocess.Popen(command, env=os.environ | env, cwd=directory, stdout=log, stderr=log)
    try:
        wait_for_port(port, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


class Running(NamedTuple):
    """A server that takes stations. ``database``: the database's processes, [] where it is in the server's."""

    pid: int
    url: str
    database: Callable[[], list[int]] = list


@contextmanager
def our_server(directory: str, database_url: str = "") -> Iterator[Running]:
    """``csms serve`` with unknown stations let in, on SQLite unless told otherwise."""
    port = free_port()
    env = {
        "CSMS_OCPP__PORT": str(port),
        "CSMS_HTTP__PORT": str(free_port()),
        "CSMS_OCPP__AUTO_REGISTER": "true",
        "CSMS_DATABASE__URL": database_url or f"sqlite:///{directory}/bench.db",
        "CSMS_LOG__LEVEL": "warning",
    }
    with serving([sys.executable, "-m", "csms", "serve"], port, env, directory) as pid:
        yield Running(pid, f"ws://127.0.0.1:{port}/ocpp")


@contextmanager
def our_server_on_postgres(directory: str) -> Iterator[Running]:
    """The same on a PostgreSQL database of its own, gone afterwards."""
    name = f"tidewatt_bench_{uuid4().hex}"
    with psycopg.connect(f"postgresql://{POSTGRES}/test", autocommit=True) as admin:
        admin.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))

        def backends() -> list[int]:
            rows = admin.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", [name]).fetchall()
            return [pid for (pid,) in rows]

        try:
            with our_server(directory, f"postgresql+psycopg://{POSTGRES}/{name}") as running:
                yield running._replace(database=backends)
        finally:
            admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@contextmanager
def stock_server(directory: str) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, str(STOCK), str(port), f"{directory}/stock.db"]
    with serving(command, port, {}, directory) as pid:
        yield Running(pid, f"ws://127.0.0.1:{port}/ocpp")


@contextmanager
def ocpp_rpc_server(directory: str) -> Iterator[Running]:
    port = free_port()
    with serving(["node", str(OCPP_RPC), str(port)], port, {}, directory) as pid:
        yield Running(pid, f"ws://127.0.0.1:{port}/ocpp")


class Load:
    """The stations' process; its events are read one by one."""

    def __init__(self, url: str, stations: int, mode: str, seconds: float, prefix: str = "BENCH") -> None:
        arguments = [url, str(stations), mode, str(seconds), str(WARM_UP_S), prefix]
        self._process = subprocess.Popen([sys.executable, str(LOAD), *arguments], stdout=subprocess.PIPE)

    def until(self, event: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if (fields := json.loads(line))["event"] == event:
                return dict(fields)
        raise SystemExit(f"the stations ended before {event!r}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def throughput(running: Running, stations: int, mode: str, seconds: float) -> dict[str, float]:
    """CPU per message over the window between the stations' start and end."""
    load = Load(running.url, stations, mode, seconds)
    load.until("start")
    database = running.database()
    before, database_before = cpu_s(running.pid), sum(map(cpu_s, database))
    end = load.until("end")
    used_s, database_s = cpu_s(running.pid) - before, sum(map(cpu_s, database)) - database_before
    load.stop()
    messages = end["messages"]
    return {
        "messages": messages,
        "cpu_us_per_message": round(used_s / messages * 1e6, 1),
        "database_cpu_us_per_message": round(database_s / messages * 1e6, 1),
        "messages_per_s": round(messages / end["seconds"]),
        "errors": end["errors"],
        "lost_connections": end["lost"],
    }


Server = Callable[[str], AbstractContextManager[Running]]


def compared(
    cases: dict[str, tuple[Server, str]], stations: int, seconds: float, rounds: int
) -> dict[str, dict[str, Any]]:
    """Every case in every round, one after another, so that what else the machine does falls on all alike."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (server, mode) in cases.items():
            with tempfile.TemporaryDirectory() as directory, server(directory) as running:
                runs[name].append(throughput(running, stations, mode, seconds))
    return {name: _summary(of_case) for name, of_case in runs.items()}


def _summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    cpu = [run["cpu_us_per_message"] for run in runs]
    return {
        "cpu_us_per_message": {"least": min(cpu), "median": round(median(cpu), 1)},
        "database_cpu_us_per_message": round(median(run["database_cpu_us_per_message"] for run in runs), 1),
        "messages_per_s": round(median(run["messages_per_s"] for run in runs)),
        "messages": sum(run["messages"] for run in runs),
        "errors": sum(run["errors"] for run in runs),
        "lost_connections": sum(run["lost_connections"] for run in runs),
    }


def memory_per_station(stations: int) -> dict[str, int]:
    """Bytes of RSS per idle station: its connection alone; in a server that knows it; in one that registers it first.

    In the server the set-up of each station that connects (configuration, failsafe limit, log of frames) is in it.
    """
    with tempfile.TemporaryDirectory() as directory:
        with our_server(directory) as (pid, url, _):
            new = _growth(pid, url, stations, "boot")
        with our_server(directory) as (pid, url, _):
            known = _growth(pid, url, stations, "idle")
    return {
        "stations": stations,
        "hub_alone_rss_bytes_each": hub_alone("idle", stations),
        "hub_alone_rss_bytes_each_compressed": hub_alone("deflate", stations),
        "server_rss_bytes_each": known,
        "server_rss_bytes_each_new": new,
    }


def _growth(pid: int, url: str, stations: int, mode: str) -> int:
    warm_up = Load(url, WARM_UP_STATIONS, mode, 3600)
    warm_up.until("connected")
    time.sleep(SETTLE_S)
    before = rss_bytes(pid)
    load = Load(url, stations, mode, 3600, "IDLE")
    load.until("connected")
    time.sleep(SETTLE_S)
    growth = rss_bytes(pid) - before
    for one in (load, warm_up):
        one.stop()
    return round(growth / stations)


def hub_alone(mode: str, stations: int) -> Any:
    """The edge without a database: nothing is stored before a setpoint goes out."""
    command = [sys.executable, str(HUB_ALONE), mode, str(stations), "9"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120).stdout)


CASES: dict[str, tuple[Server, str]] = {
    "ours_sqlite": (our_server, "mix"),
    "ours_sqlite_compressed": (our_server, "mix-deflate"),
    "ours_postgres": (our_server_on_postgres, "mix"),
    "ours_sqlite_transaction_events": (our_server, "tx"),
    "stock_sqlite": (stock_server, "mix"),
    "ocpp_rpc_stores_nothing": (ocpp_rpc_server, "mix"),
}
"""What is measured side by side: 1.6 mix, but for the 2.0.1 TransactionEvents of 10 samples."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--idle", type=int, default=2000, help="0 = leave memory out")
    parser.add_argument("--fan-out", type=int, default=1000, help="0 = leave it out")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cases = {name: CASES[name] for name in options.cases}
    result: dict[str, Any] = {
        "mix": "80 % MeterValues x 10, 10 % Heartbeat, 10 % Status",
        "load_before": os.getloadavg(),
    }
    for stations in options.stations:
        found = compared(cases, stations, options.seconds, options.rounds)
        result[f"stations_{stations}"] = found
        if {"stock_sqlite", "ours_sqlite"} <= found.keys():
            stock, ours = (found[name]["cpu_us_per_message"]["median"] for name in ("stock_sqlite", "ours_sqlite"))
            found["ratio_to_stock"] = {"median": round(stock / ours, 1)}
    if options.idle:
        result["idle"] = memory_per_station(options.idle)
    if options.fan_out:
        result["set_charging_profile"] = hub_alone("fan-out", options.fan_out)
    result["load_after"] = os.getloadavg()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
