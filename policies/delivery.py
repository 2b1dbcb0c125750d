"""What a DR event was allotted and got at each EVSE: the frozen counterfactual against the meter. G11, P19."""

from collections.abc import Sequence
from decimal import Decimal

from csms.domain.dispatch import DrResult
from csms.domain.dr import DrEvent
from csms.domain.metering import Quality
from policies.flows import Flow
from policies.payment import Command


def dr_results(event: DrEvent, flows: Sequence[Flow]) -> tuple[DrResult, ...]:
    """What the event was allotted and got in each flow that it commanded. Signed Wh.

    Where its setpoints were never acknowledged, or the user's yes did not hold, there is no result (P4). The
    counterfactual is that of the setpoints in force: frozen when the event began (A1, A2).
    """
    return tuple(
        _result(event, flow, flow.command) for flow in flows if flow.command and flow.command.event == event.id
    )


def _result(event: DrEvent, flow: Flow, command: Command) -> DrResult:
    """What was not metered did not come."""
    energy = flow.energy
    is_metered = energy.quality is not Quality.MISSING
    return DrResult(
        event=event.id,
        evse=energy.evse,
        period_start=energy.start,
        period_end=energy.end,
        counterfactual_wh=command.counterfactual_wh,
        metered_wh=energy.net_wh,
        delivered_wh=command.delivered_wh(energy.net_wh) if is_metered else Decimal(0),
        within_wh=command.within_wh(energy.net_wh) if is_metered else Decimal(0),
        allotted_wh=command.commanded_wh,
        quality=str(energy.quality),
    )
