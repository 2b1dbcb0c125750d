"""What the server knows of one EVSE from what it was told: the steps of its rooms, without waiting or storing.

Everything here follows from readings, answers and setpoints; nothing looks into the world.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from csms.domain.decision import Setpoint
from csms.domain.dispatch import SetpointRecord, SetpointState
from csms.domain.facts import Reading
from csms.domain.ids import EvseRef, PlugInId, StationId
from csms.domain.metering import StoredReading
from csms.domain.permission import Channel, Permission, PermissionState, PlugIn
from csms.domain.snapshot import EvseState, Served, Terms, Use
from csms.domain.station import SetpointDriver
from policies import energy
from policies.compliance import Compliance, Level, follows, observe, takes_all
from policies.permission import answered, lapsed, on_plug_in, terms_of, use_of
from simulators.twin.cases import Answer, Visit

ASKED_FOR_S = 120.0
SETTLE_S = 5.0
SAMPLES_ALLOWED = 2
UNSURE = 2.0
"""A power from coarse registers may be half of the real one."""


@dataclass(slots=True, kw_only=True)
class Sight:
    """One EVSE. ``history``: every state of the permission. ``records``: every setpoint, as it was sent last.

    ``drawn_w``: see ``EvseState``. ``failsafe_w``: what the station falls to by itself.
    """

    ref: EvseRef
    visit: Visit
    failsafe_w: int
    meter: energy.Meter
    plug_in: PlugIn
    is_there: bool = False
    online: bool = True
    readings: list[StoredReading] = field(default_factory=list)
    history: list[Permission] = field(default_factory=list)
    records: list[SetpointRecord] = field(default_factory=list)
    compliance: Compliance = Compliance()
    drawn_w: int | None = None
    last_used_at: datetime | None = None

    @property
    def setpoint(self) -> SetpointRecord | None:
        return self.records[-1] if self.records else None

    def plugged(self, at: datetime) -> None:
        self.is_there = True
        self._permit(on_plug_in(self.plug_in, self.visit.conditions, at, ASKED_FOR_S))

    def told(self, at: datetime) -> None:
        """The driver answers, or the question lapses."""
        if self.visit.answer is Answer.NOTHING:
            self._permit(lapsed(self.plug_in.permission, at))
            return
        granted = self.visit.answer is Answer.YES
        plug_in, conditions = self.plug_in, self.visit.conditions
        permission = answered(plug_in.permission, granted, conditions, plug_in.plugged_at, at, Channel.PAGE)
        self._permit(permission)

    def _permit(self, permission: Permission) -> None:
        self.plug_in = replace(self.plug_in, permission=permission)
        self.history.append(permission)

    def unplugged(self, at: datetime) -> None:
        self.is_there = False
        self.plug_in = replace(self.plug_in, unplugged_at=at)

    def took(self, stored: StoredReading, now: datetime) -> None:
        """A sample has come in."""
        self.readings.append(stored)
        self.meter = energy.counted(self.meter, stored.reading)
        if self.setpoint is None or not self._is_settled(self.setpoint, stored.reading.at):
            return
        if (power_w := energy.power_w(self.meter, now)) is not None:
            self._hold_against(self.setpoint, stored.reading, power_w)

    def _is_settled(self, record: SetpointRecord, at: datetime) -> bool:
        told_at = record.acknowledged_at
        return told_at is not None and told_at + timedelta(seconds=SETTLE_S) <= at < record.expires_at

    def _hold_against(self, record: SetpointRecord, reading: Reading, power_w: float) -> None:
        state = SetpointState.OBSERVED if follows(record.desired_w, power_w) else SetpointState.NOT_FOLLOWED
        self.records[-1] = replace(record, state=state, observed_w=round(power_w), observed_at=reading.at)
        is_told = reading.power_w is not None or reading.current_a is not None
        if record.event is None and record.desired_w > 0:
            takes = takes_all(record.desired_w, power_w if is_told else power_w * UNSURE)
            self.drawn_w = None if takes else round(max(power_w, 0.0))
        if not is_told:
            return  # no ground for a verdict
        self.compliance, _ = observe(self.compliance, record.desired_w, power_w, SAMPLES_ALLOWED)

    def use(self, now: datetime) -> Use:
        if not self.is_there:
            return Use.IDLE
        permission = self.plug_in.permission
        return use_of(permission, now, in_transaction=True, on_refusal="charge", on_no_answer="charge")

    def has_answer(self) -> bool:
        return self.plug_in.permission.state is not PermissionState.ASKED

    def state(self, now: datetime) -> EvseState:
        """The EVSE as the decision sees it."""
        use = self.use(now)
        battery = energy.battery_of(self.plug_in, self.meter, self.visit.record, None, now)
        power_w = energy.power_w(self.meter, now)
        observed_w = None if power_w is None else round(power_w)
        reaches = self.online and self.compliance.level is not Level.UNCONTROLLED
        can_discharge = self.visit.can_discharge and self.compliance.level is Level.FULL
        permission = self.plug_in.permission
        return EvseState(
            ref=self.ref,
            site=self.visit.site,
            ratings=self.visit.ratings,
            use=use,
            plug_in=self.plug_in.id,
            battery=battery,
            terms=terms_of(permission, battery.capacity_wh, now) if use is Use.RESOURCE else Terms(),
            can_discharge=can_discharge,
            uncontrolled_w=None if reaches else self._last_w(),
            observed_w=observed_w,
            drawn_w=self.drawn_w,
            served=self._served(),
            added_wh=self.meter.added_wh,
            reserved_w=0 if reaches else max(self._last_w(), self.failsafe_w),
            last_used_at=self.last_used_at,
        )

    def _last_w(self) -> int:
        """The newest power ever told: an EVSE out of reach is planned with it."""
        recent = self.meter.recent
        power_w = energy.power_w(self.meter, recent[-1].at) if recent else None
        return round(power_w or 0.0)

    def _served(self) -> Served | None:
        record = self.setpoint
        if record is None or record.event is None or record.observed_w is None:
            return None
        is_planned = self.compliance.level is not Level.UNCONTROLLED
        return Served(record.event, record.desired_w, record.observed_w, record.events[1:]) if is_planned else None

    def is_due(self, setpoint: Setpoint, now: datetime, horizon_s: int) -> bool:
        """The station must be told: something else, or the old one has run half its time."""
        last = self.setpoint
        if last is None or last.event != setpoint.event or last.desired_w != setpoint.setpoint_w:
            return True
        is_other = (last.counterfactual_w, last.price_per_kwh, last.parts) != (
            setpoint.counterfactual_w,
            setpoint.price_per_kwh,
            setpoint.parts,
        )
        is_ending = last.expires_at - now < timedelta(seconds=horizon_s / 2) and setpoint.expires_at > last.expires_at
        return is_other or is_ending

    def sent(self, setpoint: Setpoint, now: datetime, acknowledged_at: datetime) -> None:
        """A setpoint has gone out and will be obeyed. One that is only renewed keeps what was seen of it."""
        last = self.setpoint
        is_renewed = last is not None and (last.event, last.desired_w) == (setpoint.event, setpoint.setpoint_w)
        record = SetpointRecord(
            id=f"{self.ref.station}-{len(self.records)}",
            evse=self.ref,
            plug_in=self.plug_in.id,
            transaction=None,
            event=setpoint.event,
            decided_at=now,
            desired_w=setpoint.setpoint_w,
            counterfactual_w=setpoint.counterfactual_w,
            expires_at=setpoint.expires_at,
            driver=SetpointDriver.OCPP21_SETPOINT if self.visit.can_discharge else SetpointDriver.CHARGE_ONLY,
            reasons=setpoint.reasons,
            state=SetpointState.ACKNOWLEDGED,
            acknowledged_at=acknowledged_at,
            observed_w=last.observed_w if last and is_renewed else None,
            observed_at=last.observed_at if last and is_renewed else None,
            price_per_kwh=setpoint.price_per_kwh,
            parts=setpoint.parts,
        )
        self.records.append(record)


def first_sight(visit: Visit, number: int, start: datetime, failsafe_w: int) -> Sight:
    """The EVSE of one visit, before anybody comes. ``start``: of the case."""
    ref = EvseRef(StationId(f"S{number:03d}"), 1)
    plug_in = PlugIn(
        id=PlugInId(f"plug-in-{number:03d}"),
        evse=ref,
        plugged_at=start + timedelta(seconds=visit.arrives_s),
        user=visit.record.user,
        vehicle=visit.record.id,
        stated_soc_percent=visit.stated_soc_percent,
    )
    rated_w = max(visit.ratings.max_charge_w, visit.ratings.max_discharge_w)
    return Sight(ref=ref, visit=visit, plug_in=plug_in, failsafe_w=failsafe_w, meter=energy.Meter(max_w=rated_w))
