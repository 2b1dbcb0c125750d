"""What a DR event was allotted and got at each EVSE: the frozen counterfactual against the meter. G11, P19."""

from collections.abc import Sequence
from decimal import Decimal

from csms.domain.dispatch import DrResult
from csms.domain.dr import Direction, DrEvent
from csms.domain.metering import Quality
from policies.commands import Command
from policies.flows import Flow

_NONE = Decimal(0)


def dr_results(event: DrEvent, flows: Sequence[Flow]) -> tuple[DrResult, ...]:
    """What the event was allotted and got in each flow that it commanded. Signed Wh.

    Where its setpoints were never acknowledged, or the user's yes did not hold, there is no result (P4). The
    counterfactual is that of the setpoints in force: frozen when the event began (A1, A2).
    """
    found = (_result(event, flow, flow.command) for flow in flows if flow.command)
    return tuple(result for result in found if result is not None)


def _result(event: DrEvent, flow: Flow, command: Command) -> DrResult | None:
    """What was not metered did not come. Where events share a command, each has its own watts of it; what was delivered
    beside all that was commanded is the most important one's. None = not of this event."""
    energy, claims = flow.energy, [claim for claim in command.claims if claim.event == event.id]
    is_first = command.event == event.id
    if not claims and not is_first:
        return None
    delivered_wh, within_wh = command.delivered_wh(energy.net_wh), command.within_wh(energy.net_wh)
    own_wh = sum(
        (won.within_wh for won in command.won(energy.net_wh, energy.export_wh) if won.event == event.id), _NONE
    )
    got_wh = own_wh + (delivered_wh - within_wh if is_first else _NONE)
    others_wh = delivered_wh - got_wh
    is_metered = energy.quality is not Quality.MISSING
    return DrResult(
        event=event.id,
        evse=energy.evse,
        period_start=energy.start,
        period_end=energy.end,
        counterfactual_wh=command.counterfactual_wh + (-others_wh if event.direction is Direction.DOWN else others_wh),
        metered_wh=energy.net_wh,
        delivered_wh=got_wh if is_metered else _NONE,
        within_wh=own_wh if is_metered else _NONE,
        allotted_wh=sum((claim.commanded_wh for claim in claims), _NONE) if command.claims else command.commanded_wh,
        quality=str(energy.quality),
    )
