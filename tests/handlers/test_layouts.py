"""The quick way to read samples gives what the general way gives."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from csms.domain.station import Quirks, Version
from handlers import layouts
from handlers.readings import readings
from handlers.wire import Context
from tests.handlers.golden import RECEIVED_AT, STATION

T = "2026-11-20T17:00:00Z"
CONTEXT = Context(STATION, Version.V16, Quirks(), RECEIVED_AT)

UNITS = st.sampled_from(
    [{}, {"unit": "kWh"}, {"unitOfMeasure": {"unit": "kW", "multiplier": -1}}, {"unitOfMeasure": {}}]
)
WORDS = st.fixed_dictionaries(
    {"value": st.sampled_from(["1.5", "-2", "7e3", "", "x", "NaN", 3, 0.1])},
    optional={
        "measurand": st.sampled_from(["Voltage", "Power.Active.Import", "Energy.Active.Import.Register", "Odd"]),
        "phase": st.sampled_from(["L1", "L2", "L3"]),
        "context": st.sampled_from(["Sample.Periodic", "Transaction.Begin"]),
        "location": st.sampled_from(["Outlet", "Cable"]),
        "signedMeterValue": st.just({"signedMeterData": "AA=="}),
    },
)
SAMPLES = st.lists(st.builds(lambda words, unit: words | unit, WORDS, UNITS), min_size=1, max_size=5)


def read(samples: list[dict[str, Any]]) -> Any:
    return readings([{"timestamp": T, "sampledValue": samples}], CONTEXT)


@given(st.lists(SAMPLES, min_size=2, max_size=6))
def test_what_was_read_before_changes_no_reading(messages: list[list[dict[str, Any]]]) -> None:
    layouts.forget()
    after_others = [read(samples) for samples in messages]
    alone = []
    for samples in messages:
        layouts.forget()
        alone.append(read(samples))
    assert after_others == alone


@given(SAMPLES, st.lists(st.sampled_from(["1", "-2.5", "x"]), min_size=5, max_size=5))
def test_the_same_samples_with_other_values_are_read_as_if_they_were_the_first(
    samples: list[dict[str, Any]], values: list[str]
) -> None:
    layouts.forget()
    read(samples)
    changed = [sample | {"value": value} for sample, value in zip(samples, values, strict=False)]
    quick = read(changed)
    layouts.forget()
    assert quick == tuple(read(changed))


def test_the_table_stays_bounded() -> None:
    layouts.forget()
    for n in range(layouts.MOST_LAYOUTS + 10):
        read([{"measurand": f"Odd{n}", "value": "1"}])
    assert layouts.known_layouts() <= layouts.MOST_LAYOUTS
    layouts.forget()
