"""Proof that an EVSE discharges when told to, before it is relied on: who may be asked, by which steps, the verdict.

V2G-8, F10."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from csms.domain.decision import Decision, Reason, Setpoint, Violation
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.facts import Reading
from csms.domain.ids import EvseRef, SiteId
from csms.domain.snapshot import EvseState, Site, Snapshot, Use
from csms.domain.station import ProbeState
from policies.compliance import is_evidence
from policies.constraints import violations
from policies.pricing import asked_sell

PROBE_W = 1000
RESPONSE_TIME = timedelta(seconds=60)
LONGEST = timedelta(seconds=120)
MARGIN_WH = 200
"""More than a probe can take out, on top of what the user requires."""
MOST_PAID = Decimal(5)
"""Times the tariff: whoever asks more for a kWh does not want to sell, and is not probed."""
RISE_W = 300.0
"""Import this much above the level before the probe: the station reads a negative value as "unlimited"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe under way. ``setpoint_w`` < 0; ``import_before_w``: what the vehicle drew when it began."""

    started_at: datetime
    setpoint_w: int
    import_before_w: float
    deadline_at: datetime


def begin(now: datetime, import_before_w: float, max_discharge_w: int) -> Probe:
    """A probe of 1 kW, or what the EVSE and vehicle can give when that is less."""
    return Probe(
        started_at=now,
        setpoint_w=-min(PROBE_W, max_discharge_w),
        import_before_w=import_before_w,
        deadline_at=now + LONGEST,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is known of a running probe. ``told``: its own setpoint once that is the one in force; ``reading``: the
    newest; ``power_w`` now, metered at ``metered_at``, by whatever the meter tells; ``last``: the setpoint in force,
    whosever it is, None = doubtful."""

    now: datetime
    told: SetpointRecord | None = None
    last: SetpointRecord | None = None
    reading: Reading | None = None
    power_w: float | None = None
    metered_at: datetime | None = None


def judge(probe: Probe, sight: Sight, settle: timedelta) -> ProbeState:
    """A probe comes to rest at 0 W first (UNTRIED: it has, and the probe proper may begin), then discharges.

    UNSAFE: import rose, stop at once. PASSED: at least half the power comes out and nothing goes in. FAILED: the
    station said no, nothing came out in 60 s, or the time is over.
    """
    if sight.told is not None and sight.told.state is SetpointState.REJECTED:
        return ProbeState.FAILED
    if probe.setpoint_w < 0:
        return _of_discharge(probe, sight.now, _since_told(sight))
    if sight.now >= probe.deadline_at:
        return ProbeState.FAILED
    return ProbeState.UNTRIED if is_resting(sight, settle) else ProbeState.RUNNING


def _since_told(sight: Sight) -> Reading | None:
    """What was sampled before the station had taken the value says nothing about it."""
    told, reading = sight.told, sight.reading
    if told is None or reading is None or told.acknowledged_at is None or reading.at < told.acknowledged_at:
        return None
    return reading


def _of_discharge(probe: Probe, now: datetime, reading: Reading | None) -> ProbeState:
    if reading is None or reading.power_w is None:
        return ProbeState.FAILED if now >= probe.deadline_at else ProbeState.RUNNING
    if reading.power_w > probe.import_before_w + RISE_W:
        return ProbeState.UNSAFE
    if reading.power_w <= probe.setpoint_w / 2:
        return ProbeState.PASSED
    return ProbeState.FAILED if now >= probe.started_at + RESPONSE_TIME else ProbeState.RUNNING


def is_resting(sight: Sight, settle: timedelta) -> bool:
    """Nothing flows, and nothing will: by a sample taken when a setpoint of 0 W had been acknowledged for so long that
    the vehicle obeys it. One that is about to begin under a limit rests too, and its rise would look like "unlimited"
    for ever (V2G-8)."""
    last = sight.last
    if sight.power_w is None or sight.metered_at is None or last is None or last.desired_w != 0:
        return False
    is_proof = is_evidence(sight.metered_at, last.acknowledged_at, last.expires_at, settle)
    return is_proof and abs(sight.power_w) <= RISE_W


def is_to_be_read_back(probe: Probe, told: SetpointRecord | None) -> bool:
    """The station has taken a negative value: it is asked at once what it makes of it (F10)."""
    return probe.setpoint_w < 0 and told is not None and told.acknowledged_at is not None


def is_schedule_safe(composite_w: float | None) -> bool:
    """The station means to charge with no more than a trifle under a negative setpoint, or does not say."""
    return composite_w is None or composite_w <= RISE_W


def price_per_kwh(state: EvseState, tariff_per_kwh: Decimal) -> Decimal:
    """What a probe's energy is paid: the tariff, or the user's own minimum where that is more (P5, A11)."""
    return max(tariff_per_kwh, asked_sell(state.terms, tariff_per_kwh) or tariff_per_kwh)


def may_probe(state: EvseState, snapshot: Snapshot) -> bool:
    """The user allows discharge now and asks a possible price, with charge to spare; site, EVSE and vehicle can feed
    back."""
    battery, terms = state.battery, state.terms
    if battery is None or not battery.is_told or not is_permitted(state, snapshot):
        return False
    if min(state.ratings.max_discharge_w, battery.max_discharge_w) < PROBE_W:
        return False
    spare_wh = battery.energy_wh - battery.error_wh - terms.required_wh
    if terms.required_added_wh > 0:
        spare_wh = min(spare_wh, state.added_wh - terms.required_added_wh)
    return spare_wh > MARGIN_WH and _is_export_allowed(state, snapshot)


def is_permitted(state: EvseState, snapshot: Snapshot) -> bool:
    """The user allows discharge now, at a price that can be paid."""
    until = state.terms.permitted_until
    is_open = until is None or snapshot.now < until
    return state.use is Use.RESOURCE and state.terms.discharge and is_open and _is_payable(state, snapshot)


def _is_payable(state: EvseState, snapshot: Snapshot) -> bool:
    tariff = _tariff(state, snapshot)
    return state.terms.entrust or price_per_kwh(state, tariff) <= max(tariff, MOST_PAID * tariff)


def permitted_until(state: EvseState, snapshot: Snapshot) -> datetime:
    """A probe's setpoint ends like every other: with its validity and with the user's slot."""
    latest = snapshot.now + timedelta(seconds=snapshot.horizon_s)
    return min(latest, state.terms.permitted_until or latest)


def probe_setpoint(state: EvseState, snapshot: Snapshot, probe: Probe) -> Setpoint:
    """What is told, with the price frozen into it."""
    return Setpoint(
        evse=state.ref,
        setpoint_w=probe.setpoint_w,
        counterfactual_w=0,
        expires_at=min(probe.deadline_at, permitted_until(state, snapshot)),
        reasons=(Reason.PROBE,),
        price_per_kwh=price_per_kwh(state, _tariff(state, snapshot)),
    )


def broken_by(told: Setpoint, snapshot: Snapshot, decision: Decision) -> tuple[Violation, ...]:
    """The hard rules that a probe would break. ``snapshot`` and ``decision``: with the probe running, so that the
    others are planned around it. Its own power is judged as if it were decided, not excused as inevitable.

    What an entrusted vehicle loses by a probe below its break-even is ours to decide (P8).
    """
    state = next(state for state in snapshot.evses if state.ref == told.evse)
    setpoints = tuple(told if one.evse == told.evse else one for one in decision.setpoints)
    evses = tuple(_as_decided(one, told.evse) for one in snapshot.evses)
    broken = violations(replace(snapshot, evses=evses), replace(decision, setpoints=setpoints))
    return tuple(one for one in broken if not (state.terms.entrust and one.rule == "discharge_below_min_sell"))


def _as_decided(state: EvseState, probed: EvseRef) -> EvseState:
    return replace(state, uncontrolled_w=None) if state.ref == probed else state


def _tariff(state: EvseState, snapshot: Snapshot) -> Decimal:
    area = next(site.area for site in snapshot.sites if site.id == state.site)
    return snapshot.prices[area].at(snapshot.now)


def _is_export_allowed(state: EvseState, snapshot: Snapshot) -> bool:
    """Every site above can take the probe beside what is fed back there anyway, other probes among it."""
    sites = {site.id: site for site in snapshot.sites}
    fixed = [other for other in snapshot.evses if other.uncontrolled_w is not None and other.ref != state.ref]
    for site in _above(sites, state.site):
        here = sum(other.uncontrolled_w or 0 for other in fixed if site in _above(sites, other.site))
        if PROBE_W - min(here, 0) > site.export_limit_w:
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
