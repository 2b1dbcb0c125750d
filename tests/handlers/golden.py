"""Golden frames: what a frame means, and how a command is spelt, as data. One file per case in tests/frames.

``in``: ``frame`` decodes to ``fact``; ``answer`` is spelt as ``reply``. ``quirks`` are those of the station.
``out``: ``command`` is spelt as ``frames``; ``results`` mean ``outcome``. A field at its default is left out.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
from pydantic import TypeAdapter

from csms.domain import answers, commands
from csms.domain.ids import EvseRef, StationId
from csms.domain.station import Quirks, Version
from handlers.schemas import request_schema, response_schema
from handlers.times import spelt
from handlers.wire import Context

FOLDER = Path(__file__).parent.parent / "frames"
VERSIONS = {"v16": Version.V16, "v201": Version.V201, "v21": Version.V21}
RECEIVED_AT = datetime(2026, 11, 20, 17, 0, 5, tzinfo=UTC)
STATION = StationId("CS1")


class Case:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.id = path.relative_to(FOLDER).as_posix().removesuffix(".json")
        self.version = VERSIONS[path.parent.name]
        self.data: dict[str, Any] = orjson.loads(path.read_bytes())

    @property
    def context(self) -> Context:
        quirks = TypeAdapter(Quirks).validate_python(self.data.get("quirks", {}))
        return Context(STATION, self.version, quirks, RECEIVED_AT)


def cases(direction: str) -> list[Case]:
    found = [Case(path) for path in sorted(FOLDER.glob("*/*.json"))]
    return [case for case in found if case.data["direction"] == direction]


def as_data(value: Any) -> Any:
    """A domain value as JSON: its ``class``, its fields without those that are at their default."""
    if isinstance(value, Mapping):
        return {str(key): as_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(item) for item in value]
    if is_dataclass(value) and not isinstance(value, EvseRef):
        told = {field.name: getattr(value, field.name) for field in fields(value) if not _is_default(field, value)}
        return {"class": type(value).__name__, **as_data(told)}
    return _scalar(value)


def _scalar(value: Any) -> Any:
    match value:
        case EvseRef():
            return str(value)
        case datetime():
            return spelt(value)
        case StrEnum():
            return value.value
        case _:
            return value


def _is_default(field: Any, value: Any) -> bool:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return default is not MISSING and getattr(value, field.name) == default


def command_of(data: Mapping[str, Any]) -> commands.Command:
    """A command from its data; ``evse`` is written ``station/number``."""
    values = dict(data)
    kind = getattr(commands, values.pop("class"))
    if "evse" in values:
        station, _, number = values["evse"].rpartition("/")
        values["evse"] = {"station": station, "evse": int(number)}
    command: commands.Command = TypeAdapter(kind).validate_python(values)
    return command


def answer_of(data: Mapping[str, Any]) -> answers.Answer:
    values = dict(data)
    answer: answers.Answer = TypeAdapter(getattr(answers, values.pop("class"))).validate_python(values)
    return answer


@cache
def request_validator(version: Version, action: str, *, formats: bool = True) -> jsonschema_rs.Draft4Validator:
    """What we send fits the formats too; of stations only the plain schema is asked (V2G-58)."""
    return jsonschema_rs.Draft4Validator(request_schema(version, action) or {}, validate_formats=formats)


@cache
def response_validator(version: Version, action: str) -> jsonschema_rs.Draft4Validator:
    return jsonschema_rs.Draft4Validator(response_schema(version, action) or {}, validate_formats=True)
