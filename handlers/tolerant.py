"""The tolerant reader: what stations in the field send instead of what the schema says, made to fit it.

Called only when validation failed. The schema is walked beside the payload; every coercion has a name, which is
counted per station (V2G-58). What cannot be mended is left, so that validation fails again and says why.
Quirks: reference v2g-over-ocpp §6 "Payload quirks"; field lessons §8.
"""

from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any, Final, NamedTuple

from csms.domain.station import Version
from handlers.schemas import Schema, request_schema
from handlers.spellings import FALLBACKS, MISSING, NEVER_CUT, SPOILING, recognised

_DROP: Final = object()
"""Result of mending: this value is better absent."""
_SPOILT: Final = object()
"""Result of mending: without this value the whole object it is in means something else, so the object goes."""

_YES_NO: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class _Walk(NamedTuple):
    """One payload's way along its schema. ``names``: the coercions made, each once, in the order met."""

    definitions: dict[str, Schema]
    names: dict[str, None]

    def note(self, name: str) -> None:
        self.names[name] = None

    def resolved(self, schema: Schema) -> Schema:
        reference = schema.get("$ref")
        return self.definitions[reference.rpartition("/")[2]] if reference else schema


def tolerate(version: Version, action: str, payload: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A copy of the payload that fits the schema as far as it can be made to, and the names of the coercions made.

    Never raises. A payload that is no object is read as ``{}``; without a schema for the action nothing is changed.
    """
    names: dict[str, None] = {}
    if not isinstance(payload, dict):
        payload, names["not_an_object"] = {}, None
    schema = request_schema(version, action)
    if schema is None:
        return dict(payload), tuple(names)
    walk = _Walk(schema.get("definitions", {}), names)
    mended = _object(schema, payload, walk)
    return (mended if isinstance(mended, dict) else {}), tuple(names)


def _mend(key: str, schema: Schema, value: Any, walk: _Walk) -> Any:
    """The value as its schema wants it, or as it came, or _DROP or _SPOILT."""
    schema = walk.resolved(schema)
    mender = _MENDERS.get("enum" if "enum" in schema else schema.get("type", ""))
    return mender(key, schema, value, walk) if mender else value


def _one_object(key: str, schema: Schema, value: Any, walk: _Walk) -> Any:
    if isinstance(value, list) and len(value) == 1:
        walk.note("list_for_object")
        value = value[0]
    return _object(schema, value, walk) if isinstance(value, dict) else value


def _object(schema: Schema, value: dict[str, Any], walk: _Walk) -> Any:
    properties: dict[str, Schema] = schema.get("properties", {})
    required = schema.get("required", ())
    mended: dict[str, Any] = {}
    for key, item in _known(schema, value, walk):
        result = _mend(key, properties[key], item, walk) if key in properties else item
        if result is _SPOILT:
            walk.note("unreadable_sample")
            return _DROP
        if result is _DROP:
            continue
        if key in properties and key not in required and not _is_fit(properties[key], result, walk):
            walk.note(f"bad_{key}")  # what need not be there does not spoil what must be understood (V2G-39)
        else:
            mended[key] = result
    _fill(mended, value, required, walk)
    if "sampledValue" in required and not mended.get("sampledValue"):
        walk.note("empty_sampled_value")
        return _DROP
    if "value" in required and "measurand" in properties and "value" not in mended:
        walk.note("empty_sample")
        return _DROP
    return mended


def _is_fit(schema: Schema, value: Any, walk: _Walk) -> bool:
    """Whether a mended value fits, as far as words, lengths, kinds and required parts go."""
    schema = walk.resolved(schema)
    kinds = _KINDS.get(schema.get("type", ""))
    if kinds is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
        return False
    if isinstance(value, dict):
        parts = schema.get("properties", {})
        has_all = all(key in value for key in schema.get("required", ()))
        return has_all and all(_is_fit(parts[key], part, walk) for key, part in value.items() if key in parts)
    if isinstance(value, list):
        return all(_is_fit(schema.get("items", {}), item, walk) for item in value)
    return not isinstance(value, str) or len(value) <= schema.get("maxLength", len(value))


_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def _known(schema: Schema, value: dict[str, Any], walk: _Walk) -> Iterable[tuple[str, Any]]:
    """The entries that the schema knows, under its own spelling; nulls left out."""
    properties = schema.get("properties", {})
    is_spelt = value.keys() <= properties.keys()
    by_lower = {} if is_spelt else {key.lower(): key for key in properties}
    for sent, item in value.items():
        key = sent if is_spelt or sent in properties else by_lower.get(sent.strip().lower(), sent)
        if key not in properties and schema.get("additionalProperties", True) is False:
            walk.note("extra_key")
        elif item is None:
            walk.note("null_value")
        elif key == sent:
            yield key, item
        elif key not in value:
            walk.note("key_spelling")
            yield key, item


def _fill(mended: dict[str, Any], sent: dict[str, Any], required: Iterable[str], walk: _Walk) -> None:
    for key in required:
        if key not in mended and key in MISSING:
            walk.note(f"missing_{key}")
            mended[key] = MISSING[key]
    raw = str(sent.get("errorCode", ""))
    if mended.get("errorCode") == "OtherError" and raw != "OtherError":
        mended["info"] = f"{raw} {mended.get('info', '')}".strip()[:50]


def _list(key: str, schema: Schema, value: Any, walk: _Walk) -> Any:
    if not isinstance(value, list):
        walk.note("object_for_list")
        value = [value]
    if None in value:
        walk.note("null_value")
    mended = [_mend(key, schema.get("items", {}), item, walk) for item in value if item is not None]
    kept = [item for item in mended if item is not _DROP and item is not _SPOILT]
    if not kept and schema.get("minItems", 0) > 0:
        walk.note("empty_list")
        return _DROP
    return kept


def _word(key: str, schema: Schema, value: Any, walk: _Walk) -> Any:
    allowed: list[str] = schema["enum"]
    if value in allowed:
        return value
    word = recognised(value, allowed)
    if word is not None:
        walk.note("word_spelling")
        return word
    walk.note(f"unknown_{key}")
    fallback = next((word for word in FALLBACKS.get(key, ()) if word in allowed), None)
    if fallback is not None:
        return fallback
    return _SPOILT if key in SPOILING else _DROP


def _text(key: str, schema: Schema, value: Any, walk: _Walk) -> Any:
    if isinstance(value, bool | int | float):
        walk.note("number_for_text")
        value = str(value).lower() if isinstance(value, bool) else str(value)
    longest = schema.get("maxLength")
    if not isinstance(value, str) or longest is None or len(value) <= longest or key in NEVER_CUT:
        return value
    walk.note("too_long")
    return value.strip()[:longest]


def _integer(key: str, schema: Schema, value: Any, walk: _Walk) -> Any:
    number = _number(key, schema, value, walk)
    if not isinstance(number, float) or not isfinite(number):
        return number
    walk.note("fraction_for_integer")
    return int(number)


def _number(key: str, schema: Schema, value: Any, walk: _Walk) -> Any:
    if not isinstance(value, str):
        return value
    if not value.strip():
        walk.note("blank_number")
        return _DROP
    number = _parsed(value)
    if number is not None:
        walk.note("text_for_number")
    return value if number is None else number


def _parsed(text: str) -> int | float | None:
    try:
        number = float(text)
        return int(text) if number.is_integer() and "e" not in text.lower() and "." not in text else number
    except (ValueError, OverflowError):
        return None


def _boolean(key: str, schema: Schema, value: Any, walk: _Walk) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    walk.note("word_for_boolean")
    return _YES_NO.get(str(value).strip().lower(), value)


_MENDERS: Final[Mapping[str, Callable[[str, Schema, Any, _Walk], Any]]] = {
    "enum": _word,
    "object": _one_object,
    "array": _list,
    "string": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}
