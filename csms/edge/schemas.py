"""The messages of each OCPP version: the ``ocpp`` package's JSON schemas, and what a misfit is called. V2G-57, 58.

Draft 4 and without formats, which gives the verdicts of the ``ocpp`` package itself at a hundredth of the time.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import jsonschema_rs

from csms.domain.station import Version
from csms.edge import frames
from handlers import schemas


class Codes(NamedTuple):
    """The error codes of one version, as it spells them."""

    format: str
    occurrence: str
    frame: str
    incomplete: str
    property: str = "PropertyConstraintViolation"
    type: str = "TypeConstraintViolation"
    not_implemented: str = "NotImplemented"
    not_supported: str = "NotSupported"
    security: str = "SecurityError"
    internal: str = "InternalError"


# 1.6 §4.2.3 with its own misprint, which the standard keeps; 2.0.1 part 4 §4.3. A missing field is "incomplete" in 1.6.
_CODES_1: Final = Codes("FormationViolation", "OccurenceConstraintViolation", "FormationViolation", "ProtocolError")
_CODES_2: Final = Codes(
    "FormatViolation", "OccurrenceConstraintViolation", "RpcFrameworkError", "OccurrenceConstraintViolation"
)
CODES: Final[Mapping[Version, Codes]] = {Version.V16: _CODES_1, Version.V201: _CODES_2, Version.V21: _CODES_2}

_KEYWORD_CODE: Final[Mapping[str, str]] = {
    "type": "type",
    "required": "incomplete",
    "minItems": "occurrence",
    "maxItems": "occurrence",
    "additionalProperties": "format",
    "enum": "property",
    "maxLength": "property",
    "minLength": "property",
    "pattern": "property",
    "minimum": "property",
    "maximum": "property",
    "multipleOf": "property",
    "format": "property",
}


class Fault(NamedTuple):
    """Why a payload does not fit: error code in the version's spelling, the field's path, words without data."""

    code: str
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field or 'payload'} {self.reason}"[: frames.MAX_DESCRIPTION_LENGTH]


class Schemas:
    """The messages of one version: the ``ocpp`` package's schemas, each compiled when it is first needed."""

    def __init__(self, version: Version, *, strict_formats: bool = False) -> None:
        self._version = version
        self._codes = CODES[version]
        self._strict_formats = strict_formats
        self._requests: dict[str, jsonschema_rs.Draft4Validator] = {}
        self._responses: dict[str, jsonschema_rs.Draft4Validator] = {}
        self._calls = schemas.actions(version)
        self._names = schemas.names(version)

    def knows(self, action: str) -> bool:
        """Whether the version has such a CALL, in either direction. A SEND is none."""
        return action in self._calls

    def request_fault(self, action: str, payload: Any) -> Fault | None:
        """What is wrong with a CALL's (or SEND's) payload; None = it fits. KeyError when there is no such action."""
        validator = self._requests.get(action)
        if validator is None:
            name = f"{action}Request" if f"{action}Request" in self._names else action
            validator = self._requests[action] = self._compile(name)
        return None if validator.is_valid(payload) else _fault_of(validator, payload, self._codes)

    def response_fault(self, action: str, payload: Any) -> Fault | None:
        """What is wrong with a CALLRESULT's payload; None = it fits. KeyError when there is no such action."""
        validator = self._responses.get(action)
        if validator is None:
            validator = self._responses[action] = self._compile(f"{action}Response")
        return None if validator.is_valid(payload) else _fault_of(validator, payload, self._codes)

    def _compile(self, name: str) -> jsonschema_rs.Draft4Validator:
        # Draft 4 whatever $schema says: later drafts take 51.0 for an integer, and the ocpp package checks by draft 4.
        return jsonschema_rs.Draft4Validator(schemas.read(self._version, name), validate_formats=self._strict_formats)


def _fault_of(validator: jsonschema_rs.Draft4Validator, payload: Any, codes: Codes) -> Fault | None:
    """The first thing that is wrong; to look for all of them takes a second for a large message (C3)."""
    try:
        validator.validate(payload)
    except jsonschema_rs.ValidationError as error:
        return _fault(error, codes)
    return None


def _fault(error: jsonschema_rs.ValidationError, codes: Codes) -> Fault:
    keyword = error.kind.name
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path).lstrip(".")
    is_whole = keyword == "type" and not path  # no object at all: the message is misshapen, not one of its fields (C12)
    code = codes.format if is_whole else getattr(codes, _KEYWORD_CODE.get(keyword, "format"))
    details = error.kind.as_dict()
    if keyword == "required":
        return Fault(code, f"{path}.{details['property']}".lstrip("."), "is required")
    if keyword == "additionalProperties":
        return Fault(code, f"{path}.{details['unexpected'][0]}".lstrip(".")[:100], "is not a field of this message")
    return Fault(code, path, _words(keyword, details))


def _words(keyword: str, details: Mapping[str, Any]) -> str:
    match keyword:
        case "type":
            return f"must be of type {' or '.join(map(str, details.get('types', ())))}"
        case "enum":
            return "is not one of the allowed values"
        case "format":
            return f"is no valid {details.get('format')}"
        case _:
            return f"breaks {keyword} {details.get('limit', '')}".rstrip()
