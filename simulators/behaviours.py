"""What stations get wrong, as data. Behaviours compose: ``combined("clock_off", "drops_socket")``.

Sources: reference v2g-over-ocpp §1.2 and §6, csms-field-lessons §8, ocpp-test-cases §3. Times are simulated seconds
since the station was started.
"""

from dataclasses import dataclass, fields, replace
from enum import StrEnum


class Negative(StrEnum):
    """What a station makes of a negative power."""

    REFUSE = "refuse"
    OBEY = "obey"
    CLAMP = "clamp"
    CALLERROR = "callerror"
    UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The differences from a faultless station. A field at its default means faultless."""

    negative: Negative | None = None
    """None: as the model says."""
    ignores_profiles: bool = False
    """Answers Accepted and does as before."""
    drop_after_frames: int = 0
    drop_every_s: float = 0.0
    half_open_every_s: float = 0.0
    """Leaves the socket open behind it, silent, and connects again."""
    resends: int = 0
    """Sends every transaction message so many times more, with new message ids."""
    offline_at_s: float = 0.0
    offline_for_s: float = 0.0
    clock_off_s: float = 0.0
    clock_from_1970: bool = False
    """The clock starts anew with the station."""
    forgets_number: bool = False
    """Loses StartTransaction.conf: the transaction's number is -1 (1.6)."""
    ends_at_zero: bool = False
    """A limit below the minimum ends the transaction."""
    obey_delay_s: float = 0.0
    obey_share: float = 1.0
    """Follows only this part of what is asked."""
    wrong_sign: bool = False
    freeze_meter_at_s: float = 0.0
    reset_meter_at_s: float = 0.0
    kwh_as_wh: bool = False
    """Registers are in kWh but labelled Wh."""
    signed_power: bool = False
    """Discharge is metered as a negative Power.Active.Import."""
    no_soc: bool = False
    loses_profiles: bool = False
    """Forgets its profiles whenever the socket is lost."""
    answer_delay_s: float = 0.0


FAULTLESS = Behaviour()

BEHAVIOURS: dict[str, Behaviour] = {
    "accepts_and_ignores": Behaviour(ignores_profiles=True),
    "clamps_negatives": Behaviour(negative=Negative.CLAMP),
    "callerror_on_negatives": Behaviour(negative=Negative.CALLERROR),
    "negative_is_unlimited": Behaviour(negative=Negative.UNLIMITED),
    "drops_socket": Behaviour(drop_every_s=20.0),
    "drops_socket_after_frames": Behaviour(drop_after_frames=25),
    "half_open": Behaviour(half_open_every_s=20.0),
    "resends_with_new_ids": Behaviour(resends=1),
    "offline_replay": Behaviour(offline_at_s=15.0, offline_for_s=10.0),
    "clock_off": Behaviour(clock_off_s=3600.0),
    "clock_1970": Behaviour(clock_from_1970=True),
    "forgets_number": Behaviour(forgets_number=True),
    "ends_at_zero": Behaviour(ends_at_zero=True),
    "late_obedience": Behaviour(obey_delay_s=20.0),
    "partial_obedience": Behaviour(obey_share=0.5),
    "wrong_sign": Behaviour(wrong_sign=True),
    "frozen_meter": Behaviour(freeze_meter_at_s=20.0),
    "meter_reset": Behaviour(reset_meter_at_s=20.0),
    "kwh_as_wh": Behaviour(kwh_as_wh=True),
    "signed_power": Behaviour(signed_power=True),
    "no_soc": Behaviour(no_soc=True),
    "loses_profiles": Behaviour(loses_profiles=True),
    "slow_answers": Behaviour(answer_delay_s=3.0),
}


def combined(*chosen: str | Behaviour) -> Behaviour:
    """One behaviour out of several, by name (KeyError for an unknown one) or as values; the last word counts."""
    result = FAULTLESS
    for item in chosen:
        result = _over(result, BEHAVIOURS[item] if isinstance(item, str) else item)
    return result


def _over(below: Behaviour, above: Behaviour) -> Behaviour:
    changed = {f.name: value for f in fields(above) if (value := getattr(above, f.name)) != f.default}
    return replace(below, **changed)


def distorted(behaviour: Behaviour, wanted_w: float) -> float:
    """The power a station goes for instead of the wanted one."""
    share = wanted_w * behaviour.obey_share
    return -share if behaviour.wrong_sign else share
