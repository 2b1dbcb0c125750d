"""Quantities and the few conversions between them.

Inside the product power is an int in W and energy an int in Wh, positive into the vehicle. Money is an int in
minor units of its currency (1 JPY = 1, 1 EUR = 100); prices are Decimals in major units per kWh.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

MINOR_DIGITS: Final[Mapping[str, int]] = {"JPY": 0, "KRW": 0, "EUR": 2, "USD": 2, "GBP": 2, "CHF": 2}
"""Decimal places of a currency's minor unit (ISO 4217); currencies not named here have two."""

WH_PER_KWH: Final = Decimal(1000)


def amount_minor(energy_wh: int | Decimal, price_per_kwh: Decimal, currency: str) -> Decimal:
    """Exact amount in minor units, not yet rounded: rounding is done once, over a whole (see ``split_minor``)."""
    return (Decimal(energy_wh) * price_per_kwh / WH_PER_KWH).scaleb(MINOR_DIGITS.get(currency, 2))


def round_minor(amount: Decimal) -> int:
    """Nearest minor unit, ties to even."""
    return int(amount.to_integral_value(rounding=ROUND_HALF_EVEN))


def split_minor(parts: Sequence[Decimal]) -> list[int]:
    """Round the parts so that their sum is the rounded sum (largest remainder; ties go to the earlier part)."""
    floors = [int(part.to_integral_value(rounding="ROUND_FLOOR")) for part in parts]
    missing = round_minor(sum(parts, Decimal(0))) - sum(floors)
    by_remainder = sorted(range(len(parts)), key=lambda i: (floors[i] - parts[i], i))
    for i in by_remainder[:missing]:
        floors[i] += 1
    return floors
