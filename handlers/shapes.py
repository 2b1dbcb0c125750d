"""A JSON schema as a type that ``msgspec`` decodes into: parsing and checking in one step in C.

Narrower than the schema, never wider: an object that is open to further fields is taken with its named ones only, an
integer within 64 bits. What does not fit the type is read the general way, which alone says what is wrong.
"""

from collections.abc import Mapping
from math import ceil, floor
from typing import Annotated, Any, Final, Literal

import msgspec

from handlers.schemas import Schema


class NoShape(Exception):
    """The schema says something that no type here means."""


_SAYS_NOTHING: Final = frozenset({"$schema", "$id", "id", "title", "description", "comment", "javaType", "default"})
"""Keywords by which nothing is checked. ``format``: see ``shape_of``."""

_KEYWORDS: Final[Mapping[str, frozenset[str]]] = {
    "object": frozenset({"properties", "required", "additionalProperties", "definitions"}),
    "array": frozenset({"items", "minItems", "maxItems", "additionalItems"}),
    "string": frozenset({"enum", "maxLength", "format", "additionalProperties"}),
    "integer": frozenset({"minimum", "maximum"}),
    "number": frozenset({"minimum", "maximum"}),
    "boolean": frozenset(),
}
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
"""Of an integer: beyond 64 bits the two parsers differ."""


def shape_of(schema: Schema, name: str) -> Any:
    """The type of what fits ``schema``, formats aside (a date-time may be any text). Raises NoShape.

    Objects become Structs with the schema's fields as attributes; None = the field is not there, and an object without
    any field that it must have is there empty. Optional fields that have no shape are left out: who sends them goes the
    general way.
    """
    return _shape(schema, name, schema.get("definitions", {}))


def _shape(schema: Schema, name: str, known: Mapping[str, Schema]) -> Any:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = known[name]
    kind = schema.get("type", "")
    if kind not in _KEYWORDS or not _KEYWORDS[kind] | _SAYS_NOTHING | {"type"} >= schema.keys():
        raise NoShape(f"{name}: {sorted(schema)}")
    if kind == "object":
        return _struct(schema, name, known)
    if kind == "array":
        within = msgspec.Meta(min_length=schema.get("minItems"), max_length=schema.get("maxItems"))
        return Annotated[list[_shape(schema["items"], name, known)], within]  # type: ignore[misc]
    return _scalar(schema)


def _scalar(schema: Schema) -> Any:
    match schema["type"]:
        case "string" if "enum" in schema:
            return Literal[tuple(schema["enum"])]
        case "string":
            return Annotated[str, msgspec.Meta(max_length=schema.get("maxLength"))]
        case "integer":
            least, most = ceil(schema.get("minimum", _SMALLEST)), floor(schema.get("maximum", _LARGEST))
            return Annotated[int, msgspec.Meta(ge=least, le=most)]
        case "number":
            return Annotated[float, msgspec.Meta(ge=schema.get("minimum"), le=schema.get("maximum"))]
        case _:
            return bool


def _struct(schema: Schema, name: str, known: Mapping[str, Schema]) -> type[msgspec.Struct]:
    required = schema.get("required", ())
    fields: list[Any] = []
    for field, said in schema.get("properties", {}).items():
        try:
            shape = _shape(said, field, known)
        except NoShape:
            if field in required:
                raise
            continue
        fields.append((field, shape) if field in required else (field, shape, _absent(shape)))
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True, kw_only=True, gc=False, frozen=True)


def _absent(shape: Any) -> Any:
    """What stands for a field that is not there."""
    try:
        return shape() if isinstance(shape, type) and issubclass(shape, msgspec.Struct) else None
    except TypeError:  # it has fields that it must have
        return None
