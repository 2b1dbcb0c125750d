"""Meter values, beyond the golden frames. Requirement: reference v2g-over-ocpp §4, field lessons §8d."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.facts import Reading
from csms.domain.station import Quirks, Version
from handlers.readings import readings
from handlers.slots import DEFAULT_CONTEXT, DEFAULT_MEASURAND
from handlers.wire import Context
from tests.handlers.golden import RECEIVED_AT, STATION, request_validator

T = "2026-11-20T17:00:00Z"


def read(*samples: dict[str, Any], signed_power: bool = False) -> Reading:
    context = Context(STATION, Version.V16, Quirks(signed_power=signed_power), RECEIVED_AT)
    (reading,) = readings([{"timestamp": T, "sampledValue": list(samples)}], context)
    return reading


def sample(measurand: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"measurand": measurand, "value": value, **more}


def phases(measurand: str, *values: str, suffix: str = "") -> list[dict[str, Any]]:
    return [sample(measurand, value, phase=f"L{n}{suffix}") for n, value in enumerate(values, start=1)]


@pytest.mark.parametrize("suffix", ["", "-N"])
def test_a_missing_total_is_the_sum_of_all_three_phases(suffix: str) -> None:
    assert read(*phases("Power.Active.Export", "1", "2", "3", suffix=suffix)).power_export_w == 6


def test_two_phases_are_no_total() -> None:
    """Reference §4.2: a sum with one missing would be a wrong reading."""
    assert read(*phases("Energy.Active.Import.Register", "1", "2")).import_wh is None


def test_a_total_stands_against_its_phases() -> None:
    assert read(*phases("Power.Active.Import", "1", "2", "3"), sample("Power.Active.Import", "7")).power_import_w == 7


def test_the_outlet_comes_before_the_cable_and_the_inlet_never_counts() -> None:
    """Losses between inlet and outlet are the station's own."""
    cable, inlet = sample("SoC", "50", location="EV"), sample("Power.Active.Import", "9", location="Inlet")
    at_cable = sample("Power.Active.Import", "5", location="Cable")
    assert read(cable, inlet, at_cable).power_import_w == 5
    assert read(at_cable, sample("Power.Active.Import", "4", location="Outlet")).power_import_w == 4
    assert read(inlet).power_import_w is None


@pytest.mark.parametrize("text", ["", " ", "-", "NaN", "inf", "1_0", "1,234", "1.2,5", "12 kWh"])
def test_text_that_is_no_number_is_no_reading(text: str) -> None:
    """OCTT J_11; kept raw, unless it says nothing."""
    reading = read(sample("Energy.Active.Import.Register", text))
    assert reading.import_wh is None
    assert reading.extra == ({"Energy.Active.Import.Register#raw": text} if text else None)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("text", "wh"), [("12,5", 12.5), ("-0,25", -0.25), ("7,1234", 7.1234)])
def test_a_decimal_comma_is_read(text: str, wh: float, *, again: bool) -> None:
    """B10: also once the layout of the sample is known."""
    if again:
        read(sample("Energy.Active.Export.Register", "1.5"))
    assert read(sample("Energy.Active.Export.Register", text)).export_wh == wh


def test_an_underscore_makes_no_number_of_a_sample_whose_layout_is_known() -> None:
    """B10: "1_0" was 10."""
    read(sample("Energy.Active.Import.Register", "10"))
    assert read(sample("Energy.Active.Import.Register", "1_0")).import_wh is None


@pytest.mark.parametrize("suffix", ["", "-N"])
def test_a_station_of_one_phase_that_says_so_has_energy_and_power(suffix: str) -> None:
    """B10: L1 alone is all there is."""
    energy, power = (
        phases("Energy.Active.Import.Register", "1500", suffix=suffix),
        phases("Power.Active.Import", "3600"),
    )
    assert (read(*energy).import_wh, read(*power).power_import_w) == (1500, 3600)


def test_another_phase_alone_is_no_total() -> None:
    """A three-phase vehicle whose L2 is all that came."""
    assert read(sample("Power.Active.Import", "3600", phase="L2")).power_import_w is None


def test_a_state_of_charge_has_one_decimal() -> None:
    """F12: 60.099998474121094 is what single precision makes of 60.1."""
    assert read(sample("SoC", "60.099998474121094")).soc_percent == 60.1


@pytest.mark.parametrize(("unit", "factor"), [("Wh", 1), ("kWh", 1000), ("KWH", 1000), (None, 1)])
def test_units_become_watt_hours(unit: str | None, factor: int) -> None:
    assert read(sample("Energy.Active.Import.Register", "2.5", unit=unit)).import_wh == 2.5 * factor


def test_signed_power_splits_into_import_and_export() -> None:
    """Quirk signed_power, also where the export is reported as zero beside it."""
    negative = sample("Power.Active.Import", "-3.1", unit="kW")
    reading = read(negative, sample("Power.Active.Export", "0"), signed_power=True)
    assert (reading.power_import_w, reading.power_export_w, reading.power_w) == (0, 3100, -3100)


MEASURANDS = [
    "Energy.Active.Import.Register",
    "Energy.Active.Export.Register",
    "Power.Active.Import",
    "Power.Active.Export",
    "Power.Offered",
    "SoC",
    "Voltage",
    "Current.Import",
    "Frequency",
]
samples_16 = st.fixed_dictionaries(
    {"value": st.floats(-1e9, 1e9).map(str) | st.text(max_size=6)},
    optional={
        "measurand": st.sampled_from(MEASURANDS),
        "unit": st.sampled_from(["Wh", "kWh", "W", "kW", "A", "V", "Percent"]),
        "phase": st.sampled_from(["L1", "L2", "L3", "L1-N", "N"]),
        "location": st.sampled_from(["Outlet", "Inlet", "Cable", "EV", "Body"]),
        "context": st.sampled_from(["Sample.Periodic", "Sample.Clock", "Transaction.Begin"]),
        "format": st.sampled_from(["Raw", "SignedData"]),
    },
)


@given(st.lists(samples_16, min_size=1, max_size=12), st.booleans())
def test_powers_are_never_negative_and_nothing_raises(samples: list[dict[str, Any]], signed_power: bool) -> None:
    """The domain's word for Reading: import and export apart, both >= 0."""
    payload = {"connectorId": 1, "meterValue": [{"timestamp": T, "sampledValue": samples}]}
    assert request_validator(Version.V16, "MeterValues").is_valid(payload)
    context = Context(STATION, Version.V16, Quirks(signed_power=signed_power), RECEIVED_AT)
    for reading in readings(payload["meterValue"], context):  # type: ignore[arg-type]
        assert (reading.power_import_w or 0) >= 0
        assert (reading.power_export_w or 0) >= 0


@given(st.lists(samples_16, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_different_samples_does_not_matter(samples: list[dict[str, Any]], random: Any) -> None:
    """V2G-37: permutation gives the same readings."""
    distinct = list({_kind(one): one for one in samples}.values())
    shuffled = random.sample(distinct, len(distinct))
    context = Context(STATION, Version.V16, Quirks(), RECEIVED_AT)
    read_once = readings([{"timestamp": T, "sampledValue": distinct}], context)
    read_again = readings([{"timestamp": T, "sampledValue": shuffled}], context)
    assert sorted(map(_plain, read_once)) == sorted(map(_plain, read_again))


def _kind(one: dict[str, Any]) -> tuple[Any, ...]:
    """What a sample measures. The state of charge is the vehicle's wherever it is read."""
    measurand = one.get("measurand", DEFAULT_MEASURAND)
    place = "any" if measurand == "SoC" else one.get("location", "Outlet")
    return measurand, one.get("phase"), place, one.get("context", DEFAULT_CONTEXT)


def _plain(reading: Reading) -> str:
    fields = {name: getattr(reading, name) for name in ("context", "import_wh", "export_wh", "power_w", "soc_percent")}
    return repr((fields, sorted((reading.extra or {}).items())))
