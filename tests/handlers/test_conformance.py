"""docs/conformance.toml says what the code does."""

import tomllib

import pytest

from csms.domain.station import Version
from handlers import FROM_STATION, ROUTES, encode
from handlers.schemas import actions
from tests.handlers.golden import cases, command_of
from tests.servers import ROOT

CONFORMANCE = tomllib.loads((ROOT / "docs/conformance.toml").read_text(encoding="utf-8"))
SENDS = {Version.V21: {"NotifyPeriodicEventStream"}}


def sent(version: Version) -> set[str]:
    """Actions that some command is spelt with, by the golden frames."""
    commands = [command_of(case.data["command"]) for case in cases("out") if case.version is version]
    return {call.action for command in commands for call in encode(version, command)}


@pytest.mark.parametrize("version", Version)
def test_every_message_of_the_standard_is_accounted_for(version: Version) -> None:
    """The ocpp package's schemas are the list of messages."""
    assert set(CONFORMANCE[version.number]) == actions(version) | SENDS.get(version, set())


@pytest.mark.parametrize("version", Version)
def test_what_is_called_done_is_done(version: Version) -> None:
    """And nothing is done that is not called so."""
    done = {name for name, state in CONFORMANCE[version.number].items() if state == "done"}
    assert done == set(ROUTES[version]) | sent(version)


def test_every_exemption_has_a_reason() -> None:
    given = {state for version in Version for state in CONFORMANCE[version.number].values()} - {"done"}
    assert given == set(CONFORMANCE["exempt"])


@pytest.mark.parametrize("version", Version)
def test_c12_who_sends_what(version: Version) -> None:
    """What is sent by hand or by us is for stations; what is routed, or exempt as theirs, is from them."""
    states = CONFORMANCE[version.number]
    to_station = {name for name, state in states.items() if state == "by_hand"} | sent(version)
    assert not to_station & FROM_STATION
    assert set(states) - to_station - {"DataTransfer"} <= FROM_STATION
    assert set(ROUTES[version]) - {"DataTransfer"} <= FROM_STATION
