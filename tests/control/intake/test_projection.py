"""From facts to plug-ins, transactions and meters: pure, without a store."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.control.intake.cables import unplug
from csms.control.intake.projection import apply
from csms.control.state import changes
from csms.control.state.changes import Committed
from csms.control.state.live import Live
from csms.domain.facts import (
    AuthorizeAsked,
    IdToken,
    Metered,
    NeedsReported,
    Origin,
    Reading,
    StatusesReported,
    StatusReported,
    TransactionPhase,
    TransactionReported,
    TransactionStarted,
    TransactionStopped,
)
from csms.domain.ids import EvseRef, TransactionId
from csms.domain.station import ConnectorStatus, Quirks
from tests.control.kit import E1, E2, START, S, station

NEW = Committed(result=True)


class Track:
    """A live state and short ways to tell it facts; ``seen``: names of the changes that came of them."""

    def __init__(self, evses: int = 1) -> None:
        self.live = Live(lambda station: None)
        self.live.add(station(evses=evses), Quirks())
        self.now = START
        self.seen: list[str] = []
        self.seq_no = 0

    def tell(self, fact: Any, committed: Committed = NEW) -> None:
        self.seen += [type(change).__name__ for change in apply(self.live, fact, committed)]

    @property
    def evse(self) -> Any:
        return self.live.find(E1)

    def later(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def origin(self) -> Origin:
        return Origin(station=S, message_id="m", received_at=self.now)

    def status(self, status: ConnectorStatus, ref: EvseRef = E1, connector: int = 1, info: str = "") -> StatusReported:
        return StatusReported(
            origin=self.origin(), evse=ref, connector=connector, status=status, at=self.now, info=info
        )

    def started(self, **changed: Any) -> TransactionStarted:
        values: dict[str, Any] = {"evse": E1, "token": IdToken("A"), "at": self.now, "meter_start_wh": 0}
        return TransactionStarted(origin=self.origin(), **values | changed)

    def stopped(self, transaction: int = 7, **changed: Any) -> TransactionStopped:
        values: dict[str, Any] = {"transaction": TransactionId(str(transaction)), "at": self.now, "meter_stop_wh": 0}
        return TransactionStopped(origin=self.origin(), **values | changed)

    def event(self, phase: TransactionPhase = TransactionPhase.UPDATED, **changed: Any) -> TransactionReported:
        self.seq_no += 1
        values: dict[str, Any] = {
            "evse": E1,
            "transaction": TransactionId("tx"),
            "trigger": "Other",
            "at": self.now,
            "phase": phase,
            "seq_no": self.seq_no,
        }
        return TransactionReported(origin=self.origin(), **values | changed)

    def metered(
        self, transaction: object = None, ref: EvseRef = E1, at: datetime | None = None, **values: Any
    ) -> Metered:
        named = None if transaction is None else TransactionId(str(transaction))
        reading = Reading(at=at or self.now, **values)
        return Metered(origin=self.origin(), evse=ref, transaction=named, readings=(reading,))

    def card(self) -> AuthorizeAsked:
        return AuthorizeAsked(origin=self.origin(), token=IdToken("A"))

    def begin(self, transaction: int = 7, **changed: Any) -> None:
        self.tell(self.started(**changed), Committed(result=transaction))

    def stop(self, transaction: int = 7, **changed: Any) -> None:
        self.tell(self.stopped(transaction, **changed), Committed(result=TransactionId(str(transaction))))


@pytest.fixture
def t() -> Track:
    return Track()


S_ = ConnectorStatus
UPDATED = TransactionPhase.UPDATED
STARTED = TransactionPhase.STARTED
ENDED = TransactionPhase.ENDED


CABLE_IN = {
    "preparing": True,  # 1.6 §7.7: a cable, a tag or an occupied parking bay; a tag is seen before it
    "occupied": True,  # 2.x: "the connector became occupied": a cable on the EV side
    "charging": True,
    "suspended_ev": True,
    "suspended_evse": True,
    "finishing": False,  # the vehicle has had its transaction; it came before we looked
    "available": False,
    "reserved": False,
    "unavailable": False,
    "faulted": False,
}
"""Whether a status that comes out of nothing means that a vehicle was plugged in, by the words of the standards."""


def test_every_status_has_its_meaning_here() -> None:
    assert CABLE_IN.keys() == {str(status) for status in S_}


@pytest.mark.parametrize(("status", "is_plug_in"), CABLE_IN.items())
def test_a_status_that_needs_a_cable_is_a_plug_in_and_no_other(t: Track, status: str, is_plug_in: bool) -> None:
    """P2, V2G-24: Preparing (1.6), Occupied (2.x) and every later state; D3: not by the code's own list."""
    t.tell(t.status(ConnectorStatus(status)))
    assert t.seen == (["PluggedIn"] if is_plug_in else [])
    assert (t.evse.plug_in is not None) is is_plug_in


def test_statuses_in_one_notify_event_are_plug_ins_each_at_its_evse() -> None:
    """P2, V2G-24: NotifyEvent of 2.x carries several connectors."""
    t = Track(evses=2)
    t.tell(StatusesReported(origin=t.origin(), statuses=(t.status(S_.OCCUPIED), t.status(S_.OCCUPIED, E2))))
    assert t.seen == ["PluggedIn", "PluggedIn"]
    assert t.live.find(E2).plug_in.evse == E2  # type: ignore[union-attr]


@pytest.mark.parametrize("how", [{"trigger": "CablePluggedIn"}, {"charging_state": "EVConnected"}])
def test_a_transaction_event_of_a_cable_is_a_plug_in(t: Track, how: dict[str, str]) -> None:
    """P2: TxStartPoint EVConnected; the transaction exists, nobody is authorized."""
    t.tell(t.event(STARTED, **how))
    assert t.seen == ["PluggedIn", "TransactionBegan"]
    assert not t.evse.run.authorized


def test_an_authorized_transaction_event_without_a_cable_is_no_plug_in(t: Track) -> None:
    """P2: a card before the cable starts a 2.x transaction where TxStartPoint is Authorized."""
    t.tell(t.event(STARTED, trigger="Authorized", token=IdToken("A")))
    assert t.evse.plug_in is None


def test_a_start_without_any_status_is_a_plug_in(t: Track) -> None:
    """P2: some 1.6 stations skip Preparing."""
    t.begin()
    assert t.seen == ["PluggedIn", "TransactionBegan", "TokenShown", "CardShown"]


def test_preparing_right_after_a_card_is_a_card_and_not_a_cable(t: Track) -> None:
    """P2, OCPP 1.6 §7.7: a presented tag raises Preparing too."""
    t.tell(t.card())
    t.later(5)
    t.tell(t.status(S_.PREPARING))
    assert t.seen == []


def test_a_cable_that_the_station_names_is_believed_after_a_card(t: Track) -> None:
    """P2: vendors write it into ``info`` (EN+, EVerest)."""
    t.tell(t.card())
    t.tell(t.status(S_.PREPARING, info='{"reason":"plugInGun"}'))
    assert t.seen == ["PluggedIn"]


def test_an_old_card_explains_no_preparing(t: Track) -> None:
    """P2."""
    t.tell(t.card())
    t.later(31)
    t.tell(t.status(S_.PREPARING))
    assert t.seen == ["PluggedIn"]


def test_a_card_for_a_waiting_vehicle_explains_no_cable_at_the_other_connector() -> None:
    """P2: 1.6 Authorize names no connector; also our own remote start is authorized that way. While another EVSE is
    free the card may be for a cable that is still to come: its start will say (B7)."""
    t = Track(evses=2)
    t.tell(t.status(S_.PREPARING))
    t.tell(t.card())
    t.later(5)
    t.tell(t.status(S_.PREPARING, E2))
    assert t.seen == ["PluggedIn", "CardShown", "PluggedIn"]


def test_several_messages_about_one_cable_are_one_plug_in(t: Track) -> None:
    """P2."""
    t.tell(t.status(S_.OCCUPIED))
    t.tell(t.event(STARTED, trigger="CablePluggedIn", charging_state="EVConnected"))
    t.tell(t.event(charging_state="Charging"))
    t.tell(t.status(S_.OCCUPIED))
    assert t.seen.count("PluggedIn") == 1


def test_available_only_makes_the_plug_in_suspect_and_a_bounce_keeps_it(t: Track) -> None:
    """V2G-24: de-bounced; the sweep ends it when nothing speaks against it any more."""
    t.tell(t.status(S_.PREPARING))
    plug_in = t.evse.plug_in
    t.later(1)
    t.tell(t.status(S_.AVAILABLE))
    assert t.evse.cable.available_since == t.now
    t.tell(t.status(S_.PREPARING))
    assert (t.evse.plug_in, t.evse.cable.available_since) == (plug_in, None)


def test_power_that_flows_clears_the_suspicion_of_an_available_connector(t: Track) -> None:
    """Field lesson 14: some stations say Available while a vehicle charges."""
    t.begin()
    t.tell(t.status(S_.AVAILABLE))
    t.tell(t.metered(7, power_import_w=3000.0))
    assert t.evse.cable.available_since is None


def test_a_connected_transaction_event_clears_the_suspicion(t: Track) -> None:
    """Field lesson 14."""
    t.tell(t.event(STARTED, charging_state="Charging"))
    t.tell(t.status(S_.AVAILABLE))
    t.tell(t.event(charging_state="SuspendedEV"))
    assert t.evse.cable.available_since is None


def test_a_transaction_that_ends_at_a_free_connector_leaves_no_vehicle(t: Track) -> None:
    """V2G-24: Available came before the stop."""
    t.begin()
    t.tell(t.status(S_.AVAILABLE))
    t.tell(t.metered(7, power_import_w=3000.0))
    t.stop()
    assert t.evse.cable.available_since == t.now


@pytest.mark.parametrize("how", [{"trigger": "EVDeparted"}, {"stopped_reason": "EVDisconnected"}])
def test_a_transaction_that_ends_with_the_cable_ends_the_plug_in(t: Track, how: dict[str, str]) -> None:
    """P2, 2.x."""
    t.tell(t.event(STARTED, charging_state="EVConnected"))
    t.tell(t.event(ENDED, **how))
    assert t.seen[-2:] == ["TransactionOver", "Unplugged"]
    assert t.evse.plug_in is None


def test_a_transaction_that_ends_otherwise_leaves_the_vehicle_there(t: Track) -> None:
    """P2: the user stopped it, the cable is in."""
    t.begin()
    t.stop()
    assert t.evse.plug_in is not None
    assert t.evse.is_over


def test_a_whole_transaction_from_the_offline_queue_opens_nothing(t: Track) -> None:
    """V2G-24: late and offline messages never trigger commands."""
    t.tell(t.event(STARTED, offline=True, charging_state="Charging", token=IdToken("A")))
    t.tell(t.event(offline=True, charging_state="Charging"))
    t.tell(t.event(ENDED, offline=True))
    assert t.seen == []
    assert (t.evse.plug_in, t.evse.run.transaction) == (None, None)


def test_an_end_from_the_offline_queue_closes_what_runs(t: Track) -> None:
    """V2G-24: history closes what it closes."""
    t.tell(t.event(STARTED, charging_state="Charging"))
    t.tell(t.event(ENDED, offline=True))
    assert t.evse.run.transaction is None


def test_a_start_older_than_the_connectors_last_available_is_history(t: Track) -> None:
    """V2G-24: 1.6 does not mark what it sends from its queue."""
    at = t.now
    t.later(600)
    t.tell(t.status(S_.AVAILABLE))
    t.begin(at=at)
    assert t.seen == []


def test_a_repeated_start_of_a_transaction_that_has_ended_revives_nothing(t: Track) -> None:
    """Field lesson 9, 15: replays come with new message ids."""
    t.begin()
    t.stop()
    del t.seen[:]
    t.begin()
    assert (t.seen, t.evse.run.transaction) == ([], None)


def test_a_late_event_of_a_transaction_that_has_ended_revives_nothing(t: Track) -> None:
    """Field lesson 15: also after the vehicle has left."""
    t.tell(t.event(STARTED, charging_state="Charging"))
    t.tell(t.event(ENDED, trigger="EVDeparted"))
    del t.seen[:]
    t.tell(t.event(charging_state="Charging", readings=(Reading(at=t.later(1), power_import_w=5000.0),)))
    assert (t.seen, t.evse.plug_in, t.evse.run.transaction) == ([], None, None)


def test_values_of_a_transaction_that_has_ended_are_not_the_present(t: Track) -> None:
    """Field lessons 15 and 19: power is 0 after the end, and stays 0, with and without the vehicle."""
    t.begin()
    t.tell(t.metered(7, power_import_w=5000.0))
    t.stop()
    t.later(1)
    t.tell(t.metered(7, power_import_w=5000.0))
    assert t.evse.power_w == 0
    list(unplug(t.evse, t.now))
    t.tell(t.metered(7, power_import_w=5000.0))
    assert t.evse.power_w == 0


def test_a_repeated_event_changes_nothing(t: Track) -> None:
    """V2G-54: the store has seen its seqNo already."""
    t.tell(t.event(STARTED, charging_state="Charging"), Committed(result=False))
    assert (t.seen, t.evse.plug_in) == ([], None)


def test_what_was_allowed_in_one_transaction_is_not_allowed_in_the_next(t: Track) -> None:
    """P4: the stop of the first was lost, the second comes with a token that is refused."""
    t.begin(7)
    assert t.evse.run.authorized
    t.tell(t.started(token=IdToken("B"), meter_start_wh=5), Committed(result=8, token_accepted=False))
    assert t.evse.run.transaction == "8"
    assert not t.evse.run.authorized


def test_a_refused_token_is_not_accepted_by_energy_that_flows_all_the_same(t: Track) -> None:
    """P4: a station that charges against the answer is not thereby authorized."""
    t.tell(t.event(STARTED, token=IdToken("B"), charging_state="Charging"), Committed(True, token_accepted=False))
    t.tell(t.event(charging_state="Charging"))
    assert not t.evse.run.authorized
    t.tell(t.event(charging_state="Charging", token=IdToken("A")))
    assert t.evse.run.authorized


def test_a_station_that_asks_for_no_token_is_taken_as_it_is(t: Track) -> None:
    """Its host lets everybody charge."""
    t.tell(t.event(STARTED, charging_state="Charging"))
    assert t.evse.run.authorized


def test_the_next_vehicle_inherits_nothing(t: Track) -> None:
    """What was learnt of one vehicle never holds for the next, not even its transaction."""
    t.begin()
    t.tell(t.metered(7, power_import_w=5000.0, soc_percent=40.0))
    t.tell(NeedsReported(origin=t.origin(), evse=E1, iso20=True, bidirectional=True, capacity_wh=60_000))
    list(unplug(t.evse, t.now))
    t.tell(t.status(S_.PREPARING))
    e = t.evse
    assert (e.run.transaction, e.run.authorized, e.meter.needs, e.soc_percent, e.answered) == (
        None,
        False,
        None,
        None,
        None,
    )
    assert not e.is_over


def test_a_state_of_charge_that_jumps_is_rejected(t: Track) -> None:
    """V2G-33: more than 10 points within a minute; after a minute it is believed."""
    t.begin()
    for seconds, soc in ((0, 50.0), (30, 80.0)):
        t.later(seconds)
        t.tell(t.metered(7, soc_percent=soc))
    assert t.evse.soc_percent == 50.0
    t.later(60)
    t.tell(t.metered(7, soc_percent=80.0))
    assert (t.evse.soc_percent, t.evse.plug_in.soc_at_start_percent) == (80.0, 50.0)


@pytest.mark.parametrize("soc", [0.0, -1.0, 101.0])
def test_a_state_of_charge_that_cannot_be_is_absent(t: Track, soc: float) -> None:
    """V2G-33: 0 reported constantly means that there is none."""
    t.begin()
    t.tell(t.metered(7, soc_percent=soc))
    assert t.evse.soc_percent is None


def test_registers_and_power_that_a_sample_leaves_out_stay_known(t: Track) -> None:
    t.begin()
    t.tell(t.metered(7, power_import_w=3000.0, import_wh=100.0))
    t.later(1)
    t.tell(t.metered(7, export_wh=5.0))
    assert (t.evse.power_w, t.evse.meter.reading.import_wh, t.evse.meter.reading.export_wh) == (3000, 100.0, 5.0)


@pytest.mark.parametrize("number", [-1, 0, 65, 1_634_030_126])
def test_an_evse_number_out_of_range_is_ignored(t: Track, number: int) -> None:
    """Field lesson 21: stations say 1,634,030,126."""
    t.tell(t.status(S_.PREPARING, EvseRef(S, number)))
    t.tell(t.metered(ref=EvseRef(S, number), power_import_w=1.0))
    assert (t.seen, len(t.live.stations[S].evses)) == ([], 1)


def test_two_evses_never_mix() -> None:
    """A fact about one EVSE leaves the other as it was."""
    t = Track(evses=2)
    t.begin(7)
    t.tell(t.started(evse=E2, token=IdToken("B")), Committed(result=8))
    t.tell(t.metered(8, E2, power_import_w=2000.0, soc_percent=70.0))
    t.stop(7)
    other = t.live.find(E2)
    assert other is not None
    assert (other.run.transaction, other.power_w, other.soc_percent) == ("8", 2000, 70.0)
    assert (t.evse.run.transaction, t.evse.soc_percent) == (None, None)


def test_another_connector_that_becomes_free_does_not_end_the_plug_in(t: Track) -> None:
    t.tell(t.status(S_.OCCUPIED, connector=2))
    t.tell(t.status(S_.AVAILABLE, connector=1))
    assert t.evse.cable.available_since is None


def test_a_plug_in_learns_its_connector_from_the_status_that_names_it(t: Track) -> None:
    """2.x: the event came first and named none."""
    t.tell(t.event(STARTED, charging_state="EVConnected"))
    t.tell(t.status(S_.OCCUPIED, connector=2))
    t.tell(t.event(ENDED))
    t.tell(t.status(S_.AVAILABLE, connector=2))
    assert t.evse.plug_in.connector == 2
    assert t.evse.cable.available_since is not None


FACTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["preparing", "available", "finishing", "card", "start", "refused_start", "stop", "event", "refused_event",
             "offline_event", "end", "metered", "unplug"]
        ),
        st.integers(1, 3),
    ),
    max_size=25,
)  # fmt: skip
CABLE = {"preparing", "start", "refused_start", "event", "refused_event"}
ACCEPTED = {"start", "event"}


def _tell(t: Track, kind: str, number: int) -> None:
    transaction = TransactionId(str(number))
    match kind:
        case "preparing" | "available" | "finishing":
            t.tell(t.status(ConnectorStatus(kind)))
        case "card":
            t.tell(t.card())
        case "start" | "refused_start":
            t.tell(t.started(), Committed(number, token_accepted=kind == "start"))
        case "stop":
            t.stop(number)
        case "event" | "refused_event" | "offline_event":
            accepted = Committed(True, token_accepted=kind != "refused_event")
            offline = kind == "offline_event"
            t.tell(
                t.event(transaction=transaction, token=IdToken("A"), charging_state="Charging", offline=offline),
                accepted,
            )
        case "end":
            t.tell(t.event(ENDED, transaction=transaction))
        case "metered":
            t.tell(t.metered(number, power_import_w=2000.0, soc_percent=50.0))
        case "unplug":
            list(unplug(t.evse, t.now))


@given(FACTS)
def test_there_is_never_a_plug_in_without_a_cable_nor_an_authorization_without_an_accepted_token(
    facts: list[tuple[str, int]],
) -> None:
    """P2, P4: over any sequence of facts."""
    t = Track()
    waits: set[int] = set()  # accepted while the station was offline: the values that follow show that it still runs
    for kind, number in facts:
        plugged, authorized = t.evse.plug_in is not None, t.evse.run.authorized
        t.later(7)
        _tell(t, kind, number)
        goes_on = kind == "metered" and number in waits
        assert plugged or t.evse.plug_in is None or kind in CABLE or goes_on
        assert authorized or not t.evse.run.authorized or kind in ACCEPTED or goes_on
        waits |= {number} if kind == "offline_event" else set()
        assert t.evse.run.transaction is not None or not t.evse.run.authorized
        assert t.evse.plug_in is not None or t.evse.run.transaction is None


@given(FACTS)
def test_a_transaction_that_has_ended_never_runs_again_and_takes_no_power(facts: list[tuple[str, int]]) -> None:
    """Field lessons 15 and 19."""
    t = Track()
    for kind, number in facts:
        before = t.evse.run.transaction
        t.later(7)
        _tell(t, kind, number)
        if before is not None and t.evse.run.transaction is None and kind in {"stop", "end"}:
            assert t.evse.power_w in (None, 0)
            for again in ("start", "event", "metered"):
                _tell(t, again, int(before))
            assert t.evse.run.transaction is None
            assert t.evse.power_w in (None, 0)


def test_a_change_names_its_evse(t: Track) -> None:
    happened = list(apply(t.live, t.status(S_.PREPARING), Committed()))
    assert happened == [changes.PluggedIn(t.evse)]
