"""From live state to the value that decisions are made from. The only place that reads one into the other."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from csms.control.dispatch.parts import Parts
from csms.control.state.events import Events
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive, StationLive
from csms.control.state.prices import Prices
from csms.control.state.use import use_now
from csms.domain.dr import DrEvent
from csms.domain.ids import AreaId, EvseRef, SiteId
from csms.domain.snapshot import Battery, EvseState, Served, Site, Snapshot, Terms, Use, Virtual
from csms.domain.station import BootState, ProbeState
from csms.settings import PermissionSettings, Settings
from policies.compliance import Level
from policies.counterfactual import goes_on
from policies.energy import DEFAULT_CAPACITY_WH, battery_of
from policies.permission import terms_of

CHARGEABLE = frozenset({Use.PLAIN, Use.NOTHING, Use.RESOURCE})
"""Uses in which a required charge holds: who has not answered yet waits."""

NO_TERMS = Terms()


def sites_of(settings: Settings) -> tuple[Site, ...]:
    """The tree of limits from the configuration."""
    return tuple(
        Site(
            id=SiteId(site.id),
            parent=SiteId(site.parent) if site.parent else None,
            area=AreaId(site.area),
            import_limit_w=site.import_limit_w,
            export_limit_w=site.export_limit_w,
        )
        for site in settings.site
    )


class Snapshots:
    """The present, as a value whenever it is asked for."""

    def __init__(self, ground: Ground, prices: Prices, events: Events, settings: Settings) -> None:
        self._live = ground.live
        self._clock = ground.clock
        self._prices = prices
        self._events = events
        self._settings = settings
        self.sites = sites_of(settings)
        self._known = frozenset(site.id for site in self.sites)
        self.virtual: Mapping[EvseRef, Virtual] = {}
        """The counterfactual as the newest stored decision left it."""

    def go_on(self, stored: Mapping[EvseRef, Virtual], events: Sequence[DrEvent]) -> None:
        """With the stored counterfactual, where events have run ever since. ``events``: those of the time since."""
        areas, now = {site.id: site.area for site in self.sites}, self._clock.now()
        found = ((self._live.find(ref), virtual) for ref, virtual in stored.items())
        self.virtual = {
            evse.ref: virtual
            for evse, virtual in found
            if evse is not None and (area := areas.get(evse.evse.site)) and goes_on(virtual, area, events, now)
        }

    def snapshot(self) -> Snapshot:
        """Everything a decision is made from, now.

        An EVSE in reach without a vehicle has nothing to decide; one at a site that the configuration does not name has
        no known limits. Neither takes part.
        """
        now = self._clock.now()
        places = ((station, evse) for station, evse in self._live.evses() if evse.evse.site in self._known)
        states = (self.state(station, evse, now) for station, evse in places)
        return self.around(tuple(state for state in states if state is not None), now)

    def below_one_root(self, site: SiteId) -> Snapshot:
        """The tree of fuses that a site is in, alone: what happens behind other roots changes nothing there."""
        now, parts = self._clock.now(), Parts(self.sites)
        root = parts.root_of[site]
        places = [place for place in self._live.evses() if parts.root_of.get(place[1].evse.site) == root]
        states = (self.state(station, evse, now) for station, evse in places)
        around = self.around(tuple(state for state in states if state is not None), now)
        return replace(around, sites=tuple(parts.below(root)))

    def around(self, evses: tuple[EvseState, ...], now: datetime) -> Snapshot:
        """These EVSEs, with the world as it is now."""
        return Snapshot(
            now=now,
            horizon_s=self._settings.dispatch.setpoint_validity_s,
            sites=self.sites,
            evses=evses,
            events=tuple(event for event in self._events.open() if event.is_active(now)),
            prices={area: self._prices.series(area, now) for area in self._prices.areas},
            virtual=self.virtual,
        )

    def state(
        self, station: StationLive, evse: EvseLive, now: datetime, before: EvseState | None = None
    ) -> EvseState | None:
        """One EVSE; None = it has nothing to decide. ``before``: its state at an earlier time, by the same inputs."""
        if evse.is_in_use:
            return state_of(station, evse, self._settings.permission, now, before)
        if not station.is_reachable and (reserved := reserved_w(station, evse, now)):
            return idle_state(evse, reserved)
        return None

    def still_holds(self, state: EvseState, now: datetime) -> bool:
        """Whether the same vehicle is there with the same answer as when the snapshot was taken."""
        evse = self._live.find(state.ref)
        if evse is None or evse.cable.plugged is None or evse.cable.plugged.id != state.plug_in:
            return False
        return use_now(evse, self._settings.permission, now) is state.use


def served_of(evse: EvseLive) -> Served | None:
    """What the EVSE does for its event. None where the plan counts on others already: it does not follow, or its
    transaction is over."""
    record = evse.told.setpoint
    if (
        record is None
        or record.event is None
        or record.observed_w is None
        or evse.told.compliance.level is Level.UNCONTROLLED
    ):
        return None
    return (
        Served(record.event, record.desired_w, record.observed_w, record.events[1:])
        if record.transaction == evse.run.transaction
        else None
    )


def state_of(
    station: StationLive, evse: EvseLive, rules: PermissionSettings, now: datetime, before: EvseState | None = None
) -> EvseState:
    """One EVSE as the decision sees it. ``before``: see ``Snapshots.state``."""
    use = use_now(evse, rules, now)
    plug_in, meter = evse.cable.plugged, evse.metered
    stated = evse.answered.stated_soc_percent if evse.answered else None
    battery = battery_of(plug_in, meter, evse.vehicle, evse.meter.needs, now, stated) if plug_in else None
    return EvseState(
        ref=evse.evse.ref,
        site=evse.evse.site,
        ratings=evse.evse.ratings,
        use=use,
        plug_in=plug_in.id if plug_in else None,
        user=evse.user if plug_in else None,
        battery=battery,
        terms=_terms(evse, use, battery, now, before),
        can_discharge=can_discharge(station, evse),
        can_pause=not station.quirks.zero_ends_transaction,
        uncontrolled_w=uncontrolled_w(station, evse, now),
        observed_w=evse.power_at(now),
        drawn_w=evse.told.drawn_w,
        served=served_of(evse),
        added_wh=meter.added_wh if plug_in else 0.0,
        reserved_w=reserved_w(station, evse, now),
        last_used_at=evse.told.last_used_at,
    )


def _terms(evse: EvseLive, use: Use, battery: Battery | None, now: datetime, before: EvseState | None) -> Terms:
    """By the same inputs they are the same at any time, where no time slot begins or ends."""
    if use not in CHARGEABLE:
        return NO_TERMS
    conditions = evse.answered.permission.conditions if evse.answered else None
    if before is not None and before.use is use and (conditions is None or not conditions.slots):
        return before.terms
    return terms_now(evse, battery, now)


def inputs_of(station: StationLive, evse: EvseLive) -> tuple[object, ...]:
    """All that ``state_of`` and ``idle_state`` read but the time: the same inputs, the same state.

    The first ``HARD`` are those that say whose vehicle it is, what its user said and how far it is reached.
    """
    told, answer, is_reachable = evse.told, evse.answer, station.is_reachable
    said = (
        (answer.plug_in, answer.permission, answer.vehicle, answer.stated_soc_percent, answer.matching, answer.user)
        if answer is not None
        else None
    )
    plugged = evse.cable.plugged
    counts = evse.counted
    out_of_reach = (station.failsafe_limit_w, station.station.boot_state, told.in_force, told.in_force_until)
    return (
        plugged.id if plugged is not None else None,
        said,
        evse.run.transaction,
        evse.run.authorized,
        evse.evse,
        is_reachable,
        station.quirks,
        told.probe,
        told.probe_state,
        told.compliance.level,
        plugged,
        counts.meter if counts is not None else None,
        counts.plug_in if counts is not None else None,
        evse.meter.reading,
        evse.meter.needs,
        evse.run.ended_at,
        told.drawn_w,
        told.last_used_at,
        served_of(evse),
        None if is_reachable else out_of_reach,
    )


HARD = 10
"""Of ``inputs_of``: a setpoint decided with others of these is not told."""


def idle_state(evse: EvseLive, reserved: int) -> EvseState:
    """An EVSE out of reach at which nothing is known to happen: a vehicle may come, and nobody would tell us (A3)."""
    return EvseState(ref=evse.ref, site=evse.evse.site, ratings=evse.evse.ratings, reserved_w=reserved)


def terms_now(evse: EvseLive, battery: Battery | None, now: datetime) -> Terms:
    """The user's conditions at this plug-in, in instants and energies. The required charge holds whatever the
    permission (P7)."""
    permission = evse.answered.permission if evse.answered else None
    if permission is None:
        return Terms()
    return terms_of(permission, battery.capacity_wh if battery else DEFAULT_CAPACITY_WH, now)


def can_discharge(station: StationLive, evse: EvseLive) -> bool:
    """Driver there, probe passed, not degraded (V2G-2, V2G-8, V2G-10); true during the probe itself."""
    if not station.quirks.driver.can_discharge or not station.is_reachable:
        return False
    probing = evse.told.probe is not None
    return probing or (evse.told.probe_state is ProbeState.PASSED and evse.told.compliance.level is Level.FULL)


def uncontrolled_w(station: StationLive, evse: EvseLive, now: datetime) -> int | None:
    """Power to plan with where setpoints do not reach: the probe's own, an EVSE that does not follow, one offline.

    A power that is not known is not 0 W: it is the most that may flow (F9).
    """
    if evse.told.probe is not None:
        return evse.told.probe.setpoint_w or max(evse.power_at(now) or 0, 0)
    is_uncontrolled = not station.is_reachable or evse.told.compliance.level is Level.UNCONTROLLED
    if evse.cable.plugged is None or evse.run.transaction is None or not is_uncontrolled:
        return None
    power = evse.last_power_w if evse.power_at(now) is None else evse.power_at(now)
    return failsafe_w(station, evse) if power is None else power


def reserved_w(station: StationLive, evse: EvseLive, now: datetime) -> int:
    """What the fuses are kept free for at an EVSE out of reach, plugged in or not: the most it may draw, by its
    failsafe limit, by the power it had, and by the setpoints it may still have: one that was never acknowledged takes
    nothing from the one before (A3)."""
    if station.is_reachable:
        return 0
    limit_w = failsafe_w(station, evse)
    if evse.run.transaction is None:
        return limit_w
    return max(limit_w, evse.last_power_w or 0, evse.told.most_in_force_w(now))


def failsafe_w(station: StationLive, evse: EvseLive) -> int:
    """What an EVSE may draw with nobody steering. A station that has never been there draws nothing; where no
    limit was ever installed nothing holds it but its rating."""
    most_w = evse.evse.ratings.max_charge_w
    if station.failsafe_limit_w is not None:
        return min(station.failsafe_limit_w, most_w)
    return 0 if station.station.boot_state is BootState.NEVER else most_w
