"""What a message, an idle station and a fan-out cost our server, beside a stock server in the same run. Prints JSON.

``python tests/bench/run.py [--stations 500] [--seconds 10] [--idle 2000] [--fan-out 1000]``. CPU is user + system of
the server process, from /proc, around the measuring window. Every message counted was committed before it was answered.
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
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LOAD, STOCK, HUB_ALONE = HERE / "load.py", HERE / "stock_server.py", HERE / "hub_alone.py"
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


@contextmanager
def our_server(directory: str) -> Iterator[tuple[int, str]]:
    """``csms serve`` on SQLite with unknown stations let in; gives its pid and the stations' URL."""
    port = free_port()
    env = {
        "CSMS_OCPP__PORT": str(port),
        "CSMS_HTTP__PORT": str(free_port()),
        "CSMS_OCPP__AUTO_REGISTER": "true",
        "CSMS_DATABASE__URL": f"sqlite:///{directory}/bench.db",
        "CSMS_LOG__LEVEL": "warning",
    }
    with serving([sys.executable, "-m", "csms", "serve"], port, env, directory) as pid:
        yield pid, f"ws://127.0.0.1:{port}/ocpp"


@contextmanager
def stock_server(directory: str) -> Iterator[tuple[int, str]]:
    port = free_port()
    command = [sys.executable, str(STOCK), str(port), f"{directory}/stock.db"]
    with serving(command, port, {}, directory) as pid:
        yield pid, f"ws://127.0.0.1:{port}/ocpp"


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


def throughput(pid: int, url: str, stations: int, seconds: float) -> dict[str, float]:
    """CPU per message over the window between the stations' start and end."""
    load = Load(url, stations, "mix", seconds)
    load.until("start")
    before = cpu_s(pid)
    end = load.until("end")
    used_s = cpu_s(pid) - before
    load.stop()
    messages = end["messages"]
    return {
        "messages": messages,
        "cpu_us_per_message": round(used_s / messages * 1e6, 1),
        "messages_per_cpu_s": round(messages / used_s),
        "messages_per_s": round(messages / end["seconds"]),
        "errors": end["errors"],
        "lost_connections": end["lost"],
    }


def memory_per_station(stations: int) -> dict[str, int]:
    """Bytes of RSS per idle station: its connection alone; in a server that knows it; in one that registers it first.

    In the server the set-up of each station that connects (configuration, failsafe limit, log of frames) is in it.
    """
    with tempfile.TemporaryDirectory() as directory:
        with our_server(directory) as (pid, url):
            new = _growth(pid, url, stations, "boot")
        with our_server(directory) as (pid, url):
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--fan-out", type=int, default=1000)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    result: dict[str, Any] = {"stations": options.stations, "mix": "80 % MeterValues x 10, 10 % Heartbeat, 10 % Status"}
    for name, server in (("ours", our_server), ("stock", stock_server)):
        with tempfile.TemporaryDirectory() as directory, server(directory) as (pid, url):
            result[name] = throughput(pid, url, options.stations, options.seconds)
    result["ratio"] = round(result["stock"]["cpu_us_per_message"] / result["ours"]["cpu_us_per_message"], 1)
    result["idle"] = memory_per_station(options.idle)
    result["set_charging_profile"] = hub_alone("fan-out", options.fan_out)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
