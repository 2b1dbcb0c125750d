"""Which stations stand in the demo's street, who visits them, and the settings that a minute's demo needs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PASSWORD_BYTES = 12
VERSIONS = ("1.6",) * 7 + ("2.0.1",) * 6 + ("2.1",) * 7
DISCHARGING = frozenset({1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18})
"""Numbers of the stations that can discharge."""

MISBEHAVING = {3: "clamps_negatives", 6: "resends_with_new_ids", 10: "accepts_and_ignores", 12: "offline_replay"}
DYNAMIC = 18
REFUSING = frozenset({5, 12})
SILENT = frozenset({7, 19})

SETTINGS = """\
[ocpp]
port = {ocpp_port}
call_timeout_s = 5

[http]
port = {http_port}

[database]
url = "sqlite:///{database}"

[permission]
question_timeout_s = 8
debounce_s = 1

[dispatch]
tick_s = 1
setpoint_validity_s = 20
min_change_s = 2
settle_s = 3

[metering]
sample_interval_s = 1

[settlement]
interval = 10
grace_s = 2

[security]
registrations_per_minute = 600

[log]
level = "warning"

[[tariff]]
area = "harbour"
price_per_kwh = 31

[[site]]
id = "street"
area = "harbour"
import_limit_w = 90000
export_limit_w = 70000

[[site]]
id = "houses"
parent = "street"
area = "harbour"
import_limit_w = 60000
export_limit_w = 50000

[[site]]
id = "hotel"
parent = "street"
area = "harbour"
import_limit_w = 60000
export_limit_w = 40000
"""


@dataclass(frozen=True, slots=True)
class Box:
    """One station of the street, numbered from 0."""

    number: int

    @property
    def id(self) -> str:
        return f"STREET-{self.number + 1:02d}"

    @property
    def version(self) -> str:
        return VERSIONS[self.number]

    @property
    def site(self) -> str:
        return "hotel" if self.number % 3 == 0 else "houses"

    @property
    def can_discharge(self) -> bool:
        return self.number in DISCHARGING

    @property
    def model(self) -> str:
        if self.number == DYNAMIC:
            return "Sim V2G 2.1 Dynamic"
        return f"Sim {'V2G' if self.can_discharge else 'AC'} {self.version}"

    @property
    def answer(self) -> str:
        if self.number in REFUSING:
            return "no"
        return "never" if self.number in SILENT else "yes"


STREET = tuple(Box(number) for number in range(len(VERSIONS)))


def provisioning(box: Box, password: str) -> dict[str, Any]:
    """The body of POST /api/v1/stations."""
    evse = {"evse": 1, "max_charge_w": 7360, "max_discharge_w": 6000 if box.can_discharge else 0, "public": True}
    return {"id": box.id, "password": password, "site": box.site, "evses": [evse]}


def visits(box: Box, seconds: int) -> list[dict[str, Any]]:
    """Vehicles that come and go until the demo ends. In a short one each comes once and stays nearly to the end."""
    if seconds <= 120:
        return [_visit(box, 0, 1.5 + 0.4 * box.number, seconds - 8.0 + 0.2 * box.number)]
    stay, pause = 150.0 + 11 * (box.number % 7), 25.0
    turns = range(int(seconds // (stay + pause)) + 1)
    starts = [3.0 + 2 * box.number + turn * (stay + pause) for turn in turns]
    return [_visit(box, turn, start, start + stay) for turn, start in enumerate(starts)]


def _visit(box: Box, turn: int, arrive_s: float, depart_s: float) -> dict[str, Any]:
    thrifty = box.number % 2 == 0
    return {
        "arrive_s": round(arrive_s, 1),
        "depart_s": round(depart_s, 1),
        "capacity_wh": 40_000 + 4_000 * (box.number % 5),
        "soc_percent": 62 + (box.number * 7 + turn * 5) % 25,
        "max_charge_w": 7360,
        "max_discharge_w": 6000 if box.can_discharge else 0,
        "required_soc_percent": 50,
        "driver": f"Driver {box.number + 1}.{turn + 1}",
        "answer": box.answer,
        "answer_after_s": 0.5 + 0.1 * (box.number % 5),
        "min_sell_per_kwh": "30" if thrifty else "20",
        **({"max_buy_per_kwh": "25"} if thrifty else {}),
    }


def scenario(ocpp_url: str, passwords: Mapping[str, str], links: Mapping[str, str], seconds: int) -> str:
    """The file for ``csms-simulate run``."""
    lines = [
        "[server]",
        f"ocpp_url = {json.dumps(ocpp_url)}",
        "",
        "[defaults]",
        "sample_interval_s = 1",
        "tick_s = 0.5",
    ]
    for box in STREET:
        lines += ["", "[[station]]", *_assignments(_station(box, passwords[box.id], links[box.id]))]
        for visit in visits(box, seconds):
            lines += ["", "[[station.visit]]", *_assignments(visit)]
    return "\n".join(lines) + "\n"


def _station(box: Box, password: str, link: str) -> dict[str, Any]:
    return {
        "id": box.id,
        "password": password,
        "version": box.version,
        "model": box.model,
        "max_charge_w": 7360,
        "max_discharge_w": 6000 if box.can_discharge else 0,
        "behaviours": [MISBEHAVING[box.number]] if box.number in MISBEHAVING else [],
        "link": link,
    }


def _assignments(values: Mapping[str, Any]) -> Sequence[str]:
    """TOML assignments; JSON spells the strings, numbers and lists that occur here as TOML does."""
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]
