"""A case of the twin played by the real control: its rooms on a real store, stations that obey in a simulated world.

The same cases, vehicles, meters and truth as in ``simulators.twin``; only what is between a reading and a setpoint, and
between a reading and a report, is the server itself.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from csms.control.settlement import performance
from csms.domain.commands import Accepted, ApplySetpoint, Command, Outcome
from csms.domain.facts import IdToken, Metered, StationFact
from csms.domain.ids import EvseRef, StationId, UserId
from csms.domain.ledger import LedgerEntry
from csms.domain.people import IdTokenRecord, User
from csms.domain.station import Evse, ProbeState, Station, Version
from csms.store import reads, writes
from simulators.twin.cases import Case, Visit
from simulators.twin.meters import read
from simulators.twin.plugs import Plugs, closed_plugs, failsafe_limits
from simulators.twin.world import STEP_S, Overload, Trail, World
from tests.control.kit import START, V2G, station, world
from tests.control.kit import World as Control

TICK_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Controlled:
    """What really happened, and what the server says of it."""

    case: Case
    trail: Trail
    overload: Overload
    delivered_wh: int
    allotted_wh: int
    reports: tuple[performance.DrReport, ...]
    entries: tuple[LedgerEntry, ...]


async def controlled(folder: Path, case: Case) -> Controlled:
    """Play a case from the control kit's start on; everybody is there from the beginning."""
    shifted = from_start(case, START)
    stations = [_station(number, visit) for number, visit in enumerate(shifted.visits)]
    sites = [
        {
            "id": site.id,
            "parent": site.parent,
            "import_limit_w": site.import_limit_w,
            "export_limit_w": site.export_limit_w,
        }
        for site in shifted.sites
    ]
    async with world(folder, *stations, quirks=V2G, site=sites, dispatch={"probe": False}) as control:
        return await _Played(control, shifted).played()


def from_start(case: Case, start: datetime) -> Case:
    """The same case at another time."""
    later = start - case.start
    events = (
        replace(
            event,
            starts_at=event.starts_at + later,
            ends_at=event.ends_at + later,
            created_at=start,
        )
        for event in case.events
    )
    return replace(case, start=start, events=tuple(events))


def _station(number: int, visit: Visit) -> Station:
    id_ = StationId(f"CS-{number}")
    evse = Evse(ref=EvseRef(id_, 1), site=visit.site, ratings=visit.ratings)
    return replace(station(id_, site=visit.site), evses=(evse,))


class _Played:
    """One case in the making."""

    def __init__(self, control: Control, case: Case) -> None:
        self._control = control
        self._case = case
        self._world = World(case.visits, case.sites)
        self._plugs: Plugs = closed_plugs(failsafe_limits(case))
        self._refs = [EvseRef(StationId(f"CS-{number}"), 1) for number in range(len(case.visits))]
        self._said = [0] * len(case.visits)
        control.stations.answer = self._answer

    async def played(self) -> Controlled:
        for place, visit in enumerate(self._case.visits):
            await self._arrive(place, visit)
        for event in self._case.events:
            await self._control.system.events.create(event)
        while self._world.at_s < self._case.seconds:
            await self._connections()
            await self._control.system.rooms.dispatch.tick()
            await self._control.quiet()
            for _ in range(TICK_S // STEP_S):
                self._world.step(self._plugs.wanted_w(self._world.at_s), self._plugs.flows)
            self._control.clock.at = self._now
            await self._sample()
        return await self._told()

    @property
    def _now(self) -> datetime:
        return self._case.start + timedelta(seconds=self._world.at_s)

    def _answer(self, command: Command) -> Outcome:
        """A station obeys at once."""
        if isinstance(command, ApplySetpoint):
            place = self._refs.index(command.evse)
            self._plugs.setpoint_w[place] = command.setpoint_w
            self._plugs.until_s[place] = (command.expires_at - self._case.start).total_seconds()
        return Accepted()

    async def _arrive(self, place: int, visit: Visit) -> None:
        control, ref, card = self._control, self._refs[place], IdToken(f"CARD-{place}")
        user = UserId(visit.record.user)
        await control.store.writer.run(
            partial(writes.add_user, user=User(id=user, name=user, created_at=control.clock.now()))
        )
        await control.store.writer.run(partial(writes.add_vehicle, vehicle=visit.record))
        await control.token(IdTokenRecord(token=card.value, user=user, vehicle=visit.record.id))
        await control.plug(user, ref)
        await control.say(conditions=visit.conditions, ref=ref)
        if visit.can_discharge:
            control.at(ref).told.probe_state = ProbeState.PASSED
        await control.take(control.event(0, f"tx-{place}", ref, token=card, charging_state="Charging"))
        self._plugs.flows[place] = True
        self._plugs.setpoint_w[place], self._plugs.until_s[place] = 0, TICK_S
        await control.take(self._reading(place))

    def _reading(self, place: int) -> StationFact:
        reading = read(self._case.visits[place], self._world, place, self._now)
        origin = self._control.origin(self._refs[place].station)
        return Metered(origin=origin, evse=self._refs[place], transaction=None, readings=(reading,))

    async def _sample(self) -> None:
        for place, visit in enumerate(self._case.visits):
            if self._world.at_s % visit.meter.interval_s == 0 and not self._is_away(visit):
                self._control.system.rooms.intake.receive(self._reading(place), lambda answer: None)
        await self._control.quiet()

    def _is_away(self, visit: Visit) -> bool:
        return any(gone_s <= self._world.at_s < back_s for gone_s, back_s in visit.offline)

    async def _connections(self) -> None:
        for place, visit in enumerate(self._case.visits):
            id_ = self._refs[place].station
            is_online = id_ in self._control.stations.versions
            if self._is_away(visit) and is_online:
                del self._control.stations.versions[id_]
                self._control.system.rooms.intake.disconnected(id_)
            elif not self._is_away(visit) and not is_online:
                self._control.stations.versions[id_] = Version.V21
                self._control.system.rooms.intake.connected(id_, Version.V21)
                self._control.system.live.stations[id_].is_settled = True
        await self._control.quiet()

    async def _told(self) -> Controlled:
        """The report and the ledger once all is over."""
        control, rooms = self._control, self._control.system.rooms
        control.clock.pass_(3600)
        await rooms.settlement.run()
        await control.quiet()
        reports = [
            await performance.event_report(control.store, rooms.settlement, event, control.clock.now())
            for event in self._case.events
        ]
        booked = await control.store.read(reads.ledger)
        return Controlled(
            case=self._case,
            trail=self._world.trail,
            overload=self._world.overload,
            delivered_wh=sum(report.delivered_wh for report in reports),
            allotted_wh=sum(report.allotted_wh for report in reports),
            reports=tuple(reports),
            entries=tuple(entry for _, entry in booked),
        )
