"""The supervised discharge probe: proof before use, only with the user's permission and at their price. V2G-8."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from csms.control.dispatch.setpoint_queue import SetpointQueue
from csms.control.state import changes
from csms.control.state.ground import Ground
from csms.control.state.live import EvseLive, StationLive
from csms.domain.decision import Reason, Setpoint, Violation
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.dr import Direction, DrEvent
from csms.domain.facts import Reading
from csms.domain.ids import AreaId, SiteId
from csms.domain.snapshot import EvseState, Site, Snapshot, Use
from csms.domain.station import ProbeState
from csms.store import writes
from policies import decide, probe
from policies.constraints import violations

log = structlog.get_logger()

PROBE_MAX_W = 1000
MARGIN_WH = 200
"""More than a probe can take out, on top of what the user requires."""

TRIED_AGAIN_AFTER = timedelta(days=1)
"""A probe that failed is tried again in a later plug-in: it may have been that vehicle. UNSAFE never is."""


class Probing:
    """Runs one probe per EVSE until it has an outcome; at most one at a time per station."""

    def __init__(self, ground: Ground, queue: SetpointQueue) -> None:
        self._ground = ground
        self._clock = ground.clock
        self._queue = queue

    def begin(
        self, station: StationLive, evse: EvseLive, state: EvseState, snapshot: Snapshot
    ) -> SetpointRecord | None:
        """Begin a probe where it is due and nobody's conditions forbid it; its setpoint, which is yet to be sent."""
        busy = any(other.told.probe is not None for other in station.evses.values())
        if busy or not is_candidate(station, evse, snapshot.now) or not may_probe(state, snapshot):
            return None
        now = self._clock.now()
        evse.told.probe = probe.begin(now, _may_draw_w(evse, state), state.ratings.max_discharge_w)
        evse.told.probe_state = ProbeState.RUNNING
        return self._setpoint(station, evse, evse.told.probe, _permitted_until(state, snapshot))

    def _setpoint(self, station: StationLive, evse: EvseLive, begun: probe.Probe, until: datetime) -> SetpointRecord:
        now = begun.started_at
        return SetpointRecord(
            id=f"probe-{evse.ref}-{now:%Y%m%dT%H%M%S%f}",
            evse=evse.ref,
            plug_in=evse.cable.plugged.id if evse.cable.plugged else None,
            transaction=evse.run.transaction,
            event=None,
            decided_at=now,
            desired_w=begun.setpoint_w,
            counterfactual_w=0,
            expires_at=min(begun.deadline_at, until),
            driver=station.quirks.driver,
            reasons=(Reason.PROBE,),
        )

    def send(self, evse: EvseLive, record: SetpointRecord) -> None:
        """The probe's setpoint is stored, then sent, if the probe is not over by then."""
        self._queue.put(evse, record)
        log.info("probe.begun", evse=str(evse.ref), setpoint_w=record.desired_w)

    def sampled(self, change: changes.Sampled) -> None:
        """The meter was read."""
        if change.evse.told.probe is not None:
            self.judge(self._ground.live.stations[change.evse.ref.station], change.evse, change.reading)

    def sweep(self, station: StationLive, evse: EvseLive) -> None:
        """A probe whose time is over ends without a reading."""
        if evse.told.probe is not None:
            self.judge(station, evse, None)

    def judge(self, station: StationLive, evse: EvseLive, reading: Reading | None) -> bool:
        """Look at a running probe; True when it has just ended. What was sampled before it says nothing about it."""
        if evse.told.probe is None:
            return False
        if not station.is_reachable:
            self._ground.emit(changes.PowerLost(evse))
            evse.told.forget_setpoint()  # nothing more will be heard of it: it has proven nothing, and is begun anew
            return True
        fresh = reading if reading is not None and reading.at >= evse.told.probe.started_at else None
        state = ProbeState.FAILED if _is_refused(evse) else probe.judge(evse.told.probe, self._clock.now(), fresh)
        if state is ProbeState.RUNNING:
            return False
        told = evse.told
        told.probe, told.probe_state, told.probed_at = None, state, self._clock.now()
        self._ground.put(
            writes.save_probe, evse=evse.ref, firmware=station.station.firmware, state=state, at=self._clock.now()
        )
        log.info("probe.ended", evse=str(evse.ref), state=state)
        self._ground.emit(changes.PowerLost(evse))
        return True


def is_candidate(station: StationLive, evse: EvseLive, now: datetime) -> bool:
    """A vehicle that may flow, at a station that is there, could discharge and has not shown it."""
    could = station.quirks.driver.can_discharge and station.is_reachable
    return could and evse.run.authorized and is_due(evse, now)


def is_due(evse: EvseLive, now: datetime) -> bool:
    """Not tried yet, or failed at least a day ago in an earlier plug-in."""
    told, plugged = evse.told, evse.cable.plugged
    if told.probe_state is not ProbeState.FAILED or told.probed_at is None or plugged is None:
        return told.probe_state is ProbeState.UNTRIED
    return plugged.plugged_at > told.probed_at and now - told.probed_at >= TRIED_AGAIN_AFTER


def broken_by(record: SetpointRecord, snapshot: Snapshot) -> tuple[Violation, ...]:
    """The hard rules that a probe would break; ``snapshot``: with the probe running in it, so that the others are
    planned around it. Its own power is judged as if it were decided, not excused as inevitable.

    What an entrusted vehicle loses by a probe below its break-even is ours to decide (P8).
    """
    state = next(state for state in snapshot.evses if state.ref == record.evse)
    event = _paying_event(state, snapshot)
    told = Setpoint(
        evse=record.evse,
        setpoint_w=record.desired_w,
        counterfactual_w=record.counterfactual_w,
        expires_at=record.expires_at,
        event=event.id if event else None,
        price_per_kwh=event.unit_price(snapshot.prices[_area(state, snapshot)].at(snapshot.now)) if event else None,
    )
    decision = decide(snapshot)
    setpoints = tuple(told if one.evse == record.evse else one for one in decision.setpoints)
    evses = tuple(replace(one, uncontrolled_w=None) if one.ref == record.evse else one for one in snapshot.evses)
    broken = violations(replace(snapshot, evses=evses), replace(decision, setpoints=setpoints))
    return tuple(one for one in broken if not (state.terms.entrust and one.rule == "discharge_below_min_sell"))


def _may_draw_w(evse: EvseLive, state: EvseState) -> float:
    """What the vehicle may draw before the probe: a ramp up to its limit is no sign of "unlimited"."""
    limit_w = state.ratings.max_charge_w if evse.told.setpoint is None else evse.told.setpoint.desired_w
    return float(max(evse.last_power_w or 0, limit_w, 0))


def _is_refused(evse: EvseLive) -> bool:
    """The station said no to the probe's own setpoint: there is nothing to wait for."""
    record = evse.told.setpoint
    return record is not None and record.reasons == (Reason.PROBE,) and record.state is SetpointState.REJECTED


def may_probe(state: EvseState, snapshot: Snapshot) -> bool:
    """The user allows discharge now, at this price, with charge to spare; site, EVSE and vehicle can feed back."""
    battery, terms = state.battery, state.terms
    if battery is None or not is_permitted(state, snapshot):
        return False
    if min(state.ratings.max_discharge_w, battery.max_discharge_w) < PROBE_MAX_W:
        return False
    spare_wh = battery.energy_wh - battery.error_wh - terms.required_wh
    return spare_wh > MARGIN_WH and _is_export_allowed(state, snapshot)


def is_permitted(state: EvseState, snapshot: Snapshot) -> bool:
    """The user allows discharge now and at this price."""
    return state.use is Use.RESOURCE and state.terms.discharge and _is_price_right(state, snapshot)


def _permitted_until(state: EvseState, snapshot: Snapshot) -> datetime:
    """A probe's setpoint ends like every other: with its validity, the user's slot, and the event that pays for it."""
    event, latest = _paying_event(state, snapshot), snapshot.now + timedelta(seconds=snapshot.horizon_s)
    return min(latest, event.stops_at if event else latest, state.terms.permitted_until or latest)


def _is_price_right(state: EvseState, snapshot: Snapshot) -> bool:
    """Never below the user's minimum, for a probe neither (P5); an entrusted vehicle's prices are ours (P8)."""
    least, tariff = state.terms.min_sell_per_kwh, snapshot.prices[_area(state, snapshot)].at(snapshot.now)
    if state.terms.entrust or least is None or tariff >= least:
        return True
    event = _paying_event(state, snapshot)
    return event is not None and event.unit_price(tariff) >= least


def _paying_event(state: EvseState, snapshot: Snapshot) -> DrEvent | None:
    """The event whose price a discharge gets where the tariff is below the user's minimum: the one that pays most."""
    area = _area(state, snapshot)
    tariff, least = snapshot.prices[area].at(snapshot.now), state.terms.min_sell_per_kwh
    if least is None or tariff >= least:
        return None
    downward = [event for event in snapshot.events if event.direction is Direction.DOWN and event.covers(area)]
    return max(downward, key=lambda event: event.unit_price(tariff), default=None)


def _area(state: EvseState, snapshot: Snapshot) -> AreaId:
    return next(site.area for site in snapshot.sites if site.id == state.site)


def _is_export_allowed(state: EvseState, snapshot: Snapshot) -> bool:
    """Every site above can take the probe beside what is fed back there anyway, other probes among it."""
    sites = {site.id: site for site in snapshot.sites}
    fixed = [other for other in snapshot.evses if other.uncontrolled_w is not None and other.ref != state.ref]
    for site in _above(sites, state.site):
        here = sum(other.uncontrolled_w or 0 for other in fixed if site in _above(sites, other.site))
        if PROBE_MAX_W - min(here, 0) > site.export_limit_w:
            return False
    return True


def _above(sites: Mapping[SiteId, Site], lowest: SiteId) -> list[Site]:
    """The site and those above it."""
    path: list[Site] = []
    node = sites.get(lowest)
    while node is not None:
        path.append(node)
        node = sites.get(node.parent) if node.parent else None
    return path
