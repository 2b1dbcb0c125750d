"""What may be done with the vehicle at an EVSE now. P4."""

from datetime import datetime

from csms.control.state.live import EvseLive
from csms.domain.permission import Permission, PermissionState
from csms.domain.snapshot import Use
from csms.settings import PermissionSettings
from policies.permission import use_of


def use_now(evse: EvseLive, rules: PermissionSettings, now: datetime, *, in_transaction: bool | None = None) -> Use:
    """What may be done with the vehicle now, by the user's answer and the host's rules: those of the EVSE, else the
    server's (P4).

    ``in_transaction``: as if a transaction ran (or did not); None = as it is.
    """
    if evse.cable.plugged is None:
        return Use.IDLE
    answer = evse.answered
    permission = answer.permission if answer else Permission()
    matching = answer is not None and answer.matching
    plainly = answer is not None and answer.evidence.flows_plainly
    is_nobodys = permission.state is PermissionState.UNASKED and (plainly or not matching)
    is_asked = permission.state is PermissionState.ASKED and plainly
    if evse.run.authorized and (is_nobodys or is_asked):
        return Use.PLAIN  # on a card that no terminal belongs to, or on none: its holder came to charge
    return use_of(
        permission,
        now,
        in_transaction=evse.run.transaction is not None if in_transaction is None else in_transaction,
        on_refusal=evse.evse.on_refusal or rules.on_refusal,
        on_no_answer=evse.evse.on_no_answer or rules.on_no_answer,
    )
