"""What is owed for the energy of one flow: the rule "metered-difference-1". P13, P19; findings A4, A5, A12.

Paid is the metered difference to the frozen counterfactual, at most what the setpoints in force commanded (see
``commands``), at the price that was frozen with them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from csms.domain.dr import Direction
from csms.domain.ids import DrEventId
from csms.domain.ledger import EntryKind
from csms.domain.metering import WindowEnergy
from policies.commands import Command
from policies.unconfirmed import Unconfirmed

RULE = "metered-difference-1"

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Owed:
    """A part of a flow's energy at one price. ``part``: its name among those of the flow."""

    kind: EntryKind
    part: str
    energy_wh: Decimal
    price_per_kwh: Decimal
    event: DrEventId | None = None


def owed(
    energy: WindowEnergy, tariff_per_kwh: Decimal, command: Command | None, unconfirmed: Unconfirmed | None = None
) -> tuple[Owed, ...]:
    """What a user gets and pays for a flow. Neither ``command`` nor ``unconfirmed``: no event, no probe, or no yes, and
    all is at the tariff."""
    found = () if command is None else _commanded(command, energy, tariff_per_kwh)
    commanded = [each for each in found if each.energy_wh > 0]
    plain = {EntryKind.SALE: energy.export_wh, EntryKind.PURCHASE: energy.import_wh, EntryKind.REWARD: _NOTHING}
    for each in commanded:
        plain[each.kind] -= each.energy_wh
    doubtful = _sold_in_doubt(plain[EntryKind.SALE], unconfirmed)
    plain[EntryKind.SALE] -= sum(each.energy_wh for each in doubtful)
    parts = [
        *doubtful,
        *(
            Owed(kind=kind, part=part, energy_wh=plain[kind], price_per_kwh=tariff_per_kwh)
            for kind, part in ((EntryKind.SALE, "sale"), (EntryKind.PURCHASE, "purchase"))
        ),
    ]
    return (*parts, *commanded)


def _sold_in_doubt(export_wh: Decimal, unconfirmed: Unconfirmed | None) -> tuple[Owed, ...]:
    """The part of what was exported that a setpoint of ours may have caused; of no event, as none paid for it."""
    if unconfirmed is None or export_wh <= 0:
        return ()
    energy_wh = min(export_wh, unconfirmed.energy_wh)
    price = unconfirmed.price_per_kwh
    return (Owed(kind=EntryKind.SALE, part="sale-unconfirmed", energy_wh=energy_wh, price_per_kwh=price),)


def _commanded(command: Command, energy: WindowEnergy, tariff_per_kwh: Decimal) -> Iterator[Owed]:
    """What is paid at a frozen price: a probe's discharge, or what each event got. Where several did, the entries name
    the event, so that each is one of its own."""
    if command.event is None:
        yield Owed(EntryKind.SALE, "sale-commanded", energy.export_wh, command.price_per_kwh)
        return
    bought_wh = min(energy.import_wh, command.within_wh(energy.net_wh))
    for won in command.won(energy.net_wh, energy.export_wh):
        own = f":{won.event}" if command.claims else ""
        price, extra = won.price_per_kwh, max(won.price_per_kwh - tariff_per_kwh, _NOTHING)
        if command.direction is Direction.UP:  # a rise in charging never costs more than the tariff
            own_wh = min(won.within_wh, bought_wh)
            bought_wh -= own_wh
            yield Owed(EntryKind.PURCHASE, f"purchase-commanded{own}", own_wh, min(price, tariff_per_kwh), won.event)
            continue
        yield Owed(EntryKind.SALE, f"sale-commanded{own}", won.sold_wh, price, won.event)
        if extra:  # charging that was stopped earns what the price is above the tariff
            yield Owed(EntryKind.REWARD, f"reward{own}", won.within_wh - won.sold_wh, extra, won.event)
