"""What is known of one station beyond its model: by its operator, and as it has shown itself. F11, F13, C5."""

from dataclasses import replace

import pytest

from csms.app import quirks_lookup
from csms.control.stations.rate_units import other_unit
from csms.domain.commands import Accepted, CallFailed, Command, InstallFailsafeLimit, Outcome, Rejected, TimedOut
from csms.domain.ids import EvseRef
from csms.domain.ports import Admitted
from csms.domain.station import Current, RateUnit, Ratings, SetpointDriver, Version
from csms.store import reads
from tests.control.kit import S, World, station


def takes_amperes_only(command: Command) -> Outcome:
    is_in_w = isinstance(command, InstallFailsafeLimit) and command.rate_unit is RateUnit.W
    return Rejected("Rejected: InvalidSchedule") if is_in_w else Accepted()


async def test_f11_a_station_that_refuses_watts_gets_its_failsafe_limit_in_amperes(w: World) -> None:
    """F11: an EVSE that knows Current only refused every profile, and stood without a failsafe limit."""
    w.stations.answer = takes_amperes_only
    await w.take(w.boot())
    await w.quiet()
    sent = w.stations.of(InstallFailsafeLimit)
    assert [command.rate_unit for command in sent] == [RateUnit.W, RateUnit.A]
    assert w.station.failsafe_limit_w == sent[-1].limit_w
    assert w.station.quirks.rate_unit is RateUnit.A
    (kept,) = await w.store.read(reads.stations)
    assert kept.learnt == {"rate_unit": "A"}
    assert quirks_lookup()(Version.V16, kept).rate_unit is RateUnit.A


FLOOR = InstallFailsafeLimit(evse=EvseRef(S, 0), limit_w=3680, rate_unit=RateUnit.W, ratings=Ratings(), profile=1)


@pytest.mark.parametrize(
    ("outcome", "command", "is_tried"),
    [
        (Rejected("Rejected"), FLOOR, True),
        (CallFailed("PropertyConstraintViolation"), FLOOR, True),
        (CallFailed("NotImplemented"), FLOOR, False),
        (TimedOut(), FLOOR, False),
        (Accepted(), FLOOR, False),
        (Rejected("Rejected"), replace(FLOOR, rate_unit=RateUnit.A), False),
        (Rejected("Rejected"), replace(FLOOR, ratings=Ratings(current=Current.DC)), False),
    ],
)
def test_another_unit_is_tried_only_where_it_can_help(
    outcome: Outcome, command: InstallFailsafeLimit, is_tried: bool
) -> None:
    assert (other_unit(command, outcome) is not None) is is_tried


async def test_f13_an_operators_own_record_is_stronger_than_that_of_the_model(w: World) -> None:
    own = {"driver": "negative_limit", "rate_unit": "A", "stack_level": 3, "assume_version": "ocpp1.6"}
    await w.system.registry.change_quirks(S, own)
    (kept,) = await w.store.read(reads.stations)
    assert kept.quirks == own
    seen = quirks_lookup()(Version.V16, replace(kept, learnt={"rate_unit": "W"}))
    assert (seen.driver, seen.rate_unit, seen.stack_level) == (SetpointDriver.NEGATIVE_LIMIT, RateUnit.A, 3)
    assert seen.assume_version is Version.V16
    await w.system.registry.change_quirks(S, {})
    (kept,) = await w.store.read(reads.stations)
    assert kept.quirks == {}


async def test_c5_a_new_station_may_be_known_to_offer_no_subprotocol(w: World) -> None:
    """C5: ``assume_version`` could not work before its first boot, which it never came to."""
    new = station(w.station.station.id, version=None, vendor="", model="")
    known = quirks_lookup()(None, replace(new, quirks={"assume_version": "ocpp1.6"}))
    assert known.assume_version is Version.V16


async def test_what_is_told_at_the_door_goes_with_the_connection(w: World) -> None:
    """The boot says the model; what its operator wrote stays above it."""
    await w.system.registry.change_quirks(S, {"signed_power": True})
    verdict = await w.system.admission.admit(S, None, None, "192.0.2.1")
    assert isinstance(verdict, Admitted)
    assert verdict.own_ways == {"signed_power": True}
