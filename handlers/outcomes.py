"""What a station's answers to a command mean. Statuses: OCPP 1.6 §7, 2.0.1 and 2.1 part 2 §3."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from csms.domain.commands import (
    Accepted,
    ClearProfile,
    Command,
    Configure,
    ReadConfiguration,
    ReadSchedule,
    ReadTransaction,
    Rejected,
    StartTransaction,
)
from csms.domain.station import Ratings, Version
from handlers.encoding import encode
from handlers.power import watts_of
from handlers.wire import WireCall

Result = Mapping[str, Any]

_YES: Final = frozenset({"accepted", "scheduled", "rebootrequired"})
"""Scheduled: a 2.x Reset that waits for the end of a transaction. RebootRequired: set, in force after a reset."""


def outcome(  # noqa: PLR0911  one case per kind of command
    version: Version, command: Command, results: Sequence[Result]
) -> Accepted | Rejected:
    """``results``: the CALLRESULT payloads, in the order of ``encode(version, command)``; a station that refused by
    CALLERROR has none. The first refusal decides, but for Configure, which names the refused keys in its details:
    ``{"refused": [key, …], "taken": [key, …], "reboot_required": [key, …], "unanswered": [key]}``; the last is the one
    at which the station left."""
    match command:
        case Configure():
            return _configured(encode(version, command), results)
        case ReadConfiguration() if results:
            return _read_16(results[0]) if version is Version.V16 else _read_2(results[0])
        case ReadSchedule() if results and _said_yes(results[0]):
            return Accepted({"periods": _periods(results[0], command.ratings)})
        case ReadTransaction() if results:
            queued = results[0].get("messagesInQueue") is True
            return Accepted({"ongoing": _flag(results[0].get("ongoingIndicator")), "queued": queued})
        case ClearProfile() if results and _status(results[0]).lower() == "unknown":
            return Accepted({"status": "Unknown"})  # nothing was installed: what was wanted (SteVe #963)
        case StartTransaction() if (
            results and _said_yes(results[0]) and isinstance(results[0].get("transactionId"), str | int)
        ):
            return Accepted({"transaction": results[0]["transactionId"]})
        case _:
            return _first_refusal(results) or Accepted()


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _first_refusal(results: Sequence[Result]) -> Rejected | None:
    if not results:
        return Rejected("no answer")
    return next((Rejected(_reason(result)) for result in results if not _said_yes(result)), None)


def _status(result: Result) -> str:
    status = result.get("status")
    return status if isinstance(status, str) else ""


def _said_yes(result: Result) -> bool:
    return _status(result).strip().lower() in _YES


def _reason(result: Result) -> str:
    """``Rejected``, ``Rejected: InvalidSchedule``, ``Rejected: InvalidSchedule (text)``."""
    info = result.get("statusInfo") or {}
    reason = f"{_status(result) or 'no status'}"
    if info.get("reasonCode"):
        reason += f": {info['reasonCode']}"
    return f"{reason} ({info['additionalInfo']})" if info.get("additionalInfo") else reason


def _periods(result: Result, ratings: Ratings) -> list[list[float]]:
    """1.6 answers with ``chargingSchedule``, 2.x with ``schedule``; either may be missing or empty."""
    schedule = result.get("chargingSchedule") or result.get("schedule") or {}
    return watts_of(schedule.get("chargingSchedulePeriod") or [], schedule.get("chargingRateUnit", "W"), ratings)


def _configured(calls: Sequence[WireCall], results: Sequence[Result]) -> Accepted:
    """A key that was set several times counts as refused when no attempt was accepted."""
    answers = [(_key(call), _setting_status(result).lower()) for call, result in zip(calls, results, strict=False)]
    keys = dict.fromkeys(key for key, _ in answers)
    taken = {key for key, status in answers if status in _YES}
    return Accepted(
        {
            "refused": [key for key in keys if key not in taken],
            "taken": [key for key in keys if key in taken],
            "reboot_required": [key for key in keys if (key, "rebootrequired") in answers],
            "unanswered": [_key(call) for call in calls[len(results) : len(results) + 1]],
        }
    )


def _read_16(result: Result) -> Accepted:
    entries = [entry for entry in result.get("configurationKey") or () if isinstance(entry.get("value"), str)]
    fixed = [entry["key"] for entry in result.get("configurationKey") or () if entry.get("readonly") is True]
    unknown = [str(key) for key in result.get("unknownKey") or ()]
    return Accepted({"values": {entry["key"]: entry["value"] for entry in entries}, "fixed": [*fixed, *unknown]})


def _read_2(result: Result) -> Accepted:
    """``attributeStatus`` Accepted has a value; UnknownComponent and UnknownVariable are lacking."""
    told = [
        (f"{entry['component']['name']}.{entry['variable']['name']}", entry)
        for entry in result.get("getVariableResult") or ()
    ]
    values = {key: entry["attributeValue"] for key, entry in told if isinstance(entry.get("attributeValue"), str)}
    return Accepted({"values": values, "fixed": [key for key, entry in told if _is_lacking(entry)]})


def _is_lacking(entry: Result) -> bool:
    return str(entry.get("attributeStatus", "")).startswith("Unknown")


def _key(call: WireCall) -> str:
    if call.action == "ChangeConfiguration":
        return str(call.payload["key"])
    data = call.payload["setVariableData"][0]
    return f"{data['component']['name']}.{data['variable']['name']}"


def _setting_status(result: Result) -> str:
    entries = result.get("setVariableResult")
    return str(entries[0].get("attributeStatus", "")) if entries else _status(result)
