"""From live state to the value that decisions are made from. The only place that reads one into the other."""

from datetime import datetime, timedelta

from csms.control.state.events import Events
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive, StationLive
from csms.control.state.prices import Prices
from csms.control.state.use import use_now
from csms.domain.ids import AreaId, SiteId
from csms.domain.snapshot import Battery, EvseState, Served, Site, Snapshot, Terms
from csms.domain.station import ProbeState
from csms.settings import PermissionSettings, Settings
from policies.compliance import Level
from policies.permission import terms_of

SOC_STALE_AFTER = timedelta(minutes=15)
"""An older state of charge is unknown (V2G-33)."""

SOC_ERROR = 0.005
"""Part of the capacity by which a fresh state of charge may be wrong: stations round to whole percents."""

DEFAULT_CAPACITY_WH = 40_000


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
        self._sites = sites_of(settings)
        self._known = frozenset(site.id for site in self._sites)

    def snapshot(self) -> Snapshot:
        """Everything a decision is made from, now.

        An EVSE without a vehicle has nothing to decide; one at a site that the configuration does not name has no known
        limits. Neither takes part.
        """
        now = self._clock.now()
        rules = self._settings.permission
        return Snapshot(
            now=now,
            horizon_s=self._settings.dispatch.setpoint_validity_s,
            sites=self._sites,
            evses=tuple(
                state_of(station, evse, rules, now)
                for station, evse in self._live.evses()
                if evse.is_in_use and evse.evse.site in self._known
            ),
            events=tuple(event for event in self._events.open() if event.is_active(now)),
            prices={area: self._prices.series(area, now) for area in self._prices.areas},
        )

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
        Served(record.event, record.desired_w, record.observed_w)
        if record.transaction == evse.run.transaction
        else None
    )


def state_of(station: StationLive, evse: EvseLive, rules: PermissionSettings, now: datetime) -> EvseState:
    """One EVSE as the decision sees it."""
    use = use_now(evse, rules, now)
    battery = battery_of(evse, now)
    return EvseState(
        ref=evse.ref,
        site=evse.evse.site,
        ratings=evse.evse.ratings,
        use=use,
        plug_in=evse.cable.plugged.id if evse.cable.plugged else None,
        battery=battery,
        terms=terms_now(evse, battery, now),
        can_discharge=can_discharge(station, evse),
        can_pause=not station.quirks.zero_ends_transaction,
        uncontrolled_w=uncontrolled_w(station, evse),
        observed_w=evse.power_w,
        drawn_w=evse.told.drawn_w,
        served=served_of(evse),
        last_used_at=evse.told.last_used_at,
    )


def terms_now(evse: EvseLive, battery: Battery | None, now: datetime) -> Terms:
    """The user's conditions at this plug-in, in instants and energies."""
    permission = evse.answered.permission if evse.answered else None
    if permission is None:
        return Terms()
    return terms_of(permission, battery.capacity_wh if battery else DEFAULT_CAPACITY_WH, now)


def battery_of(evse: EvseLive, now: datetime) -> Battery | None:
    """The vehicle's battery; None while its state of charge is unknown or too old to trust."""
    plug_in, vehicle = evse.cable.plugged, evse.vehicle
    if plug_in is None or vehicle is None or plug_in.soc_percent is None or plug_in.soc_at is None:
        return None
    age = now - plug_in.soc_at
    if age > SOC_STALE_AFTER:
        return None
    needs = evse.meter.needs
    capacity_wh = (needs.capacity_wh if needs else None) or vehicle.capacity_wh
    max_discharge_w = _least(vehicle.max_discharge_w, needs.max_discharge_w if needs else None)
    drift_wh = max_discharge_w * max(age.total_seconds(), 0) / 3600
    return Battery(
        capacity_wh=capacity_wh,
        energy_wh=capacity_wh * plug_in.soc_percent / 100,
        error_wh=capacity_wh * SOC_ERROR + drift_wh,
        max_charge_w=_least(vehicle.max_charge_w, needs.max_charge_w if needs else None),
        max_discharge_w=max_discharge_w,
        charge_efficiency=vehicle.charge_efficiency,
        discharge_efficiency=vehicle.discharge_efficiency,
    )


def _least(ours: int, said: int | None) -> int:
    return ours if said is None else min(ours, said)


def can_discharge(station: StationLive, evse: EvseLive) -> bool:
    """Driver there, probe passed, not degraded (V2G-2, V2G-8, V2G-10); true during the probe itself."""
    if not station.quirks.driver.can_discharge or station.version is None:
        return False
    probing = evse.told.probe is not None
    return probing or (evse.told.probe_state is ProbeState.PASSED and evse.told.compliance.level is Level.FULL)


def uncontrolled_w(station: StationLive, evse: EvseLive) -> int | None:
    """Power to plan with where setpoints do not reach: the probe's own, an EVSE that does not follow, one offline."""
    if evse.told.probe is not None:
        return evse.told.probe.setpoint_w
    unreachable = station.version is None or evse.told.compliance.level is Level.UNCONTROLLED
    if evse.cable.plugged is None or evse.run.transaction is None or not unreachable:
        return None
    return evse.power_w or 0
