"""The quick way for the frequent messages: from the bytes of a frame to its fact, without a payload in between.

Of ten messages eight are meter values; parsing, checking and sorting them in was half of their cost. Here one typed
decoder per message does the first two, and what a list of samples says besides its values is looked up as a whole.
Whatever this does not read, for whatever reason, goes the general way and gives the same fact (tested with
hypothesis): frames.read, schema, Route.decode.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from math import isfinite
from operator import attrgetter, itemgetter, mul
from typing import Any, Final, NamedTuple

import msgspec

from csms.domain.facts import Metered, Reading, StationFact, TransactionPhase, TransactionReported
from csms.domain.ids import TransactionId
from csms.domain.station import Version
from handlers.readings import completed
from handlers.schemas import request_schema
from handlers.shapes import NoShape, shape_of
from handlers.slots import DEFAULT_CONTEXT, POWERS_OF_TEN, Collected, slot_of
from handlers.times import stamp
from handlers.tokens import token_2
from handlers.wire import MOST_COUNT, MOST_EVSES, Context, within

MOST_LAYOUTS: Final = 4096
"""What stations send is partly free text: the table is emptied when somebody fills it."""

_HEAD: Final = re.compile(rb'\[2,\s?"([ !#-\[\]-~]{1,36})",\s?"(\w{1,30})",\s?(?=\{)')
"""A CALL as nearly all stations write it: type, id without escapes, action."""


_NUL: Final = rb"\u0000"
"""The general way takes it out."""


class Read(NamedTuple):
    """A frame that was read: the CALL's id as it stands in the frame, its action and what it says."""

    message_id: bytes
    action: str
    fact: StationFact


Reader = Callable[[bytes, Context], Read | None]


class Layout(NamedTuple):
    """The samples of one MeterValue without their values: where each value goes. Indices are of samples.

    ``of_fields`` takes the values and None, and gives those of Reading's fields in the order of ``_FIELDS``.
    ``factors``: to base units; ``powers``: of ten, as 2.x says beside the unit; () = all 1.
    """

    context: str
    of_fields: Callable[[Any], tuple[float | None, ...]]
    labels: tuple[str, ...]
    of_labels: Callable[[Any], tuple[float, ...]]
    factors: tuple[float, ...]
    powers: tuple[float, ...]
    has_parts: bool


class Kind(NamedTuple):
    """A version's samples: ``words`` is all that one says besides its value (and 1.6's format, which tells nothing of a
    number): measurand, unit, phase, location, context, and in 2.x power of ten and signature."""

    words: Callable[[Any], tuple[Any, ...]]
    is_text: bool


_KIND_16: Final = Kind(attrgetter("measurand", "unit", "phase", "location", "context"), is_text=True)
_KIND_2: Final = Kind(
    attrgetter(
        "measurand",
        "unitOfMeasure.unit",
        "phase",
        "location",
        "context",
        "unitOfMeasure.multiplier",
        "signedMeterValue",
    ),
    is_text=False,
)
_value: Final = attrgetter("value")

_layouts: dict[tuple[Any, ...], Layout | None] = {}


def _readings(kind: Kind, meter_values: Any, context: Context) -> tuple[Reading, ...] | None:
    """As ``readings.readings``; None for what only that one can read."""
    signed = context.quirks.signed_power
    found = []
    for meter_value in meter_values:
        samples = meter_value.sampledValue
        key = tuple(map(kind.words, samples))
        layout = _layouts[key] if key in _layouts else _remember(key)
        values = None if layout is None else _values(kind, layout, samples)
        if layout is None or values is None:
            return None
        at, device_at = stamp(meter_value.timestamp, context.received_at)
        found.append(_reading(layout, values, at, device_at, signed_power=signed))
    return tuple(found)


def _values(kind: Kind, layout: Layout, samples: list[Any]) -> tuple[float, ...] | None:
    """The values in base units; None where one is no plain number."""
    said = tuple(map(_value, samples))
    try:
        values = tuple(map(float, said))
    except ValueError:
        return None
    if layout.factors:
        values = tuple(map(mul, values, layout.factors))
    if layout.powers:
        values = tuple(map(mul, values, layout.powers))
    # "1_0" is a number to Python alone
    return None if not isfinite(sum(values)) or (kind.is_text and "_" in "".join(said)) else values


def _reading(
    layout: Layout, values: tuple[float, ...], at: datetime, device_at: datetime | None, *, signed_power: bool
) -> Reading:
    extra = dict(zip(layout.labels, layout.of_labels(values), strict=False)) if layout.labels else None
    fields = layout.of_fields((*values, None))
    import_wh, export_wh, power_import_w, power_export_w, power_offered_w, current_a, voltage_v, soc_percent = fields
    if layout.has_parts or (power_import_w or 0.0) < 0.0 or (power_export_w or 0.0) < 0.0:
        named = {name: value for name, value in zip(_FIELDS, fields, strict=True) if value is not None}
        collected = Collected(layout.context, named, extra or {}, layout.has_parts)
        return completed(collected, at, device_at, signed_power=signed_power)
    return Reading(
        at=at,
        device_at=device_at,
        context=layout.context,
        import_wh=import_wh,
        export_wh=export_wh,
        power_import_w=power_import_w,
        power_export_w=power_export_w,
        power_offered_w=power_offered_w,
        current_a=current_a,
        voltage_v=voltage_v,
        soc_percent=None if soc_percent is None else round(soc_percent, 1),
        extra=extra,
    )


_FIELDS: Final = (
    "import_wh",
    "export_wh",
    "power_import_w",
    "power_export_w",
    "power_offered_w",
    "current_a",
    "voltage_v",
    "soc_percent",
)


def _remember(key: tuple[Any, ...]) -> Layout | None:
    """The layout of samples with these words; None = they always go the general way, as each signature is another."""
    if any(words[6:] != (None,) for words in key if len(words) > 6):
        return None
    if len(_layouts) >= MOST_LAYOUTS:
        _layouts.clear()
    layout = _layouts[key] = _layout(key)
    return layout


def _layout(key: tuple[Any, ...]) -> Layout | None:
    contexts = {words[4] or DEFAULT_CONTEXT for words in key}
    multipliers = [words[5] or 0 if len(words) > 5 else 0 for words in key]
    if len(contexts) > 1 or not POWERS_OF_TEN.keys() >= set(multipliers):
        return None
    slots = [slot_of(*words[:4]) for words in key]
    powers = tuple(POWERS_OF_TEN[multiplier] for multiplier in multipliers)
    factors = tuple(slot.factor for slot in slots)
    places = {slot.field: n for n, slot in enumerate(slots)}  # of two for one field the later counts
    of_labels = [n for n, slot in enumerate(slots) if slot.field is None]
    return Layout(
        context=contexts.pop(),
        of_fields=itemgetter(*(places.get(field, len(slots)) for field in _FIELDS)),
        labels=tuple(slots[n].label for n in of_labels),
        of_labels=_picker(of_labels),
        factors=() if set(factors) == {1.0} else factors,
        powers=() if set(powers) == {1.0} else powers,
        has_parts=any(slot.is_part for slot in slots),
    )


def _picker(numbers: list[int]) -> Callable[[Any], tuple[float, ...]]:
    """Values at these places, as a tuple even of one."""
    if not numbers:
        return lambda _values: ()
    return itemgetter(*numbers, numbers[-1])


def _metered_16(message: Any, context: Context, message_id: str) -> Metered | None:
    readings = _readings(_KIND_16, message.meterValue, context)
    if readings is None:
        return None
    transaction = message.transactionId
    return Metered(
        origin=context.origin(message_id),
        evse=context.evse(message.connectorId),
        transaction=TransactionId(str(transaction)) if transaction is not None and transaction > 0 else None,
        readings=readings,
    )


def _metered_2(message: Any, context: Context, message_id: str) -> Metered | None:
    readings = _readings(_KIND_2, message.meterValue, context)
    if readings is None:
        return None
    return Metered(
        origin=context.origin(message_id), evse=context.evse(message.evseId), transaction=None, readings=readings
    )


def _transaction_event(message: Any, context: Context, message_id: str) -> TransactionReported | None:
    readings = _readings(_KIND_2, message.meterValue or (), context)
    if readings is None:
        return None
    info, evse, token = message.transactionInfo, message.evse, message.idToken
    if any(abs(number or 0) > MOST_EVSES for number in (info.remoteStartId, evse and evse.connectorId)):
        return None  # what cannot be meant is the general way's business (C12)
    at, device_at = stamp(message.timestamp, context.received_at)
    return TransactionReported(
        origin=context.origin(message_id),
        transaction=TransactionId(info.transactionId),
        phase=_PHASES[message.eventType],
        seq_no=within("seqNo", message.seqNo, 0, MOST_COUNT),
        trigger=message.triggerReason,
        at=at,
        device_at=device_at,
        evse=None if evse is None else context.evse(evse.id),
        connector=None if evse is None else evse.connectorId,
        token=None if token is None else token_2({"idToken": token.idToken, "type": token.type}),
        charging_state=info.chargingState or "",
        remote_start_id=info.remoteStartId,
        offline=bool(message.offline),
        stopped_reason=info.stoppedReason or "",
        operation_mode=getattr(info, "operationMode", None) or "",
        readings=readings,
    )


_PHASES: Final = {phase.value: phase for phase in TransactionPhase}

Fact = Callable[[Any, Context, str], StationFact | None]

_FACTS: Final[Mapping[Version, Mapping[str, Fact]]] = {
    Version.V16: {"MeterValues": _metered_16},
    Version.V201: {"MeterValues": _metered_2, "TransactionEvent": _transaction_event},
    Version.V21: {"MeterValues": _metered_2, "TransactionEvent": _transaction_event},
}


class _Message(NamedTuple):
    action: str
    decode: Callable[[bytes], Any]
    fact: Fact


def _messages(version: Version) -> dict[bytes, _Message]:
    """Those of the frequent messages whose schema has a shape: another ``ocpp`` package may say what none means."""
    found = {}
    for action, fact in _FACTS[version].items():
        try:
            shape = shape_of(request_schema(version, action) or {}, action)
        except NoShape:
            continue
        found[action.encode()] = _Message(action, msgspec.json.Decoder(shape).decode, fact)
    return found


def _read(messages: Mapping[bytes, _Message], raw: bytes, context: Context) -> Read | None:
    """Read one frame; None = it is none of these, or not as nearly all write it. Never raises."""
    head = _HEAD.match(raw)
    if head is None or (message := messages.get(head[2])) is None or raw[-1:] != b"]" or _NUL in raw:
        return None
    message_id = head[1]
    try:
        payload = message.decode(raw[head.end() : -1])
        fact = message.fact(payload, context, message_id.decode())
    except (msgspec.MsgspecError, ValueError, LookupError, ArithmeticError):
        return None
    return None if fact is None else Read(message_id, message.action, fact)


def reader(version: Version) -> Reader:
    """The quick way of one version, its decoders made now."""
    return partial(_read, _messages(version))


def forget() -> None:
    """Every layout; the next message of each kind finds it again."""
    _layouts.clear()


def known_layouts() -> int:
    return len(_layouts)
