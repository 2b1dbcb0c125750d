"""The ``ocpp`` package's schemas: the definition of every message (design §2)."""

from functools import lru_cache
from importlib import resources
from typing import Any, Final

import orjson

from csms.domain.station import Version

Schema = dict[str, Any]

_FOLDERS: Final = {Version.V16: "v16", Version.V201: "v201", Version.V21: "v21"}


@lru_cache(maxsize=512)
def request_schema(version: Version, action: str) -> Schema | None:
    """The schema of an action's request; None when the version has no such action."""
    return _load(version, action if version is Version.V16 else f"{action}Request")


@lru_cache(maxsize=512)
def response_schema(version: Version, action: str) -> Schema | None:
    """The schema of an action's confirmation; None when the version has no such action."""
    return _load(version, f"{action}Response")


@lru_cache(maxsize=3)
def names(version: Version) -> frozenset[str]:
    """The names of a version's schemas, such as "HeartbeatResponse"."""
    return frozenset(entry.name.removesuffix(".json") for entry in _folder(version).iterdir())


@lru_cache(maxsize=3)
def actions(version: Version) -> frozenset[str]:
    """Every action that is confirmed in this version."""
    return frozenset(name.removesuffix("Response") for name in names(version) if name.endswith("Response"))


def read(version: Version, name: str) -> Schema:
    """One schema by its name, read anew. KeyError when there is none."""
    if name not in names(version):
        raise KeyError(name)
    text = (_folder(version) / f"{name}.json").read_bytes()
    schema: Schema = orjson.loads(text.removeprefix(b"\xef\xbb\xbf"))
    return schema


def _load(version: Version, name: str) -> Schema | None:
    known = name.removesuffix("Request").removesuffix("Response") in actions(version)
    return read(version, name) if known else None


def _folder(version: Version) -> Any:
    return resources.files("ocpp") / _FOLDERS[version] / "schemas"
