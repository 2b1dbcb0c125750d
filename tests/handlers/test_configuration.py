"""Which settings are written to a station that has told what it has. F5, field lesson 22."""

import pytest

from csms.domain.commands import Configure
from csms.domain.ids import StationId
from csms.domain.station import Version
from handlers import encode

S = StationId("CS-1")
REGISTER, POWER, SOC = "Energy.Active.Import.Register", "Power.Active.Import", "SoC"
EXPORT = "Energy.Active.Export.Register"
ALL = f"{REGISTER},{EXPORT},{POWER},Power.Active.Export,{SOC}"
GOOD = {
    "ConnectionTimeOut": "600",
    "MeterValueSampleInterval": "60",
    "MeterValuesSampledData": ALL,
    "StopTxnSampledData": f"{EXPORT}, {REGISTER}",
}


def written(known: dict[str, str], avoid: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    command = Configure(station=S, sample_interval_s=60, known=known, avoid=avoid)
    return [(call.payload["key"], call.payload["value"]) for call in encode(Version.V16, command)]


def test_nothing_is_written_to_a_station_that_has_all_of_it() -> None:
    assert written(GOOD) == []


@pytest.mark.parametrize(
    ("key", "value", "writes"),
    [
        ("MeterValueSampleInterval", "10", []),  # shorter serves
        ("MeterValueSampleInterval", "0", ["60"]),  # never
        ("MeterValueSampleInterval", "900", ["60"]),
        ("MeterValueSampleInterval", "sixty", ["60"]),
        ("ConnectionTimeOut", "1200", []),
        ("ConnectionTimeOut", "30", ["600"]),
        ("MeterValuesSampledData", f"Voltage,{ALL}", []),
        ("StopTxnSampledData", REGISTER, [f"{REGISTER},{EXPORT}"]),
        ("StopTxnSampledData", "", [REGISTER, f"{REGISTER},{EXPORT}"]),
    ],
)
def test_only_what_does_not_serve_is_written(key: str, value: str, writes: list[str]) -> None:
    assert written(GOOD | {key: value}) == [(key, wanted) for wanted in writes]


def test_what_is_to_be_left_alone_is() -> None:
    assert written({}, frozenset(GOOD)) == []


def test_of_a_station_that_tells_nothing_all_is_written_but_the_start_point() -> None:
    """F5: TxStartPoint is its owner's."""
    for version in (Version.V201, Version.V21):
        calls = encode(version, Configure(station=S, sample_interval_s=60))
        names = {call.payload["setVariableData"][0]["variable"]["name"] for call in calls}
        assert names == {"TxUpdatedInterval", "TxUpdatedMeasurands", "TxEndedMeasurands"}
