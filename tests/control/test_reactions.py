"""Who hears of what: nothing that changes goes unheard."""

from typing import get_args

from csms.control.state import changes
from tests.control.kit import World


async def test_every_kind_of_change_has_its_place_in_the_table(w: World) -> None:
    """A change that nobody hears of would be silence: a table without it fails here, and at the first emit."""
    assert set(w.system.reactions._table) == set(get_args(changes.Change))
