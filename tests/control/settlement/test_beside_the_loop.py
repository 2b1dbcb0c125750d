"""Settling costs milliseconds for each plug-in: the loop that answers stations does not wait for it. C9; design §6."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from csms.control.settlement import known, settlement
from csms.control.settlement.performance import event_report
from tests.control.kit import World
from tests.control.settlement.test_settling import ALL, hour, settled, untold_stay


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What was computed on the main thread, where the loop is."""
    found: set[str] = set()
    for module, name in ((known, "flows_of"), (settlement, "ledger_entries"), (known, "room_of")):
        monkeypatch.setattr(module, name, _noted(found, name, getattr(module, name)))
    return found


def _noted(found: set[str], name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    def noting(*args: Any, **named: Any) -> Any:
        found.add(f"{name} {'on' if threading.current_thread() is threading.main_thread() else 'beside'} the loop")
        return work(*args, **named)

    return noting


async def test_an_interval_and_a_report_are_computed_beside_the_loop(w: World, threads: set[str]) -> None:
    event = await hour(w, ALL)
    await settled(w, 62)
    await event_report(w.store, w.system.rooms.settlement, event, w.clock.now())
    assert threads == {"flows_of beside the loop", "ledger_entries beside the loop"}


async def test_what_a_silent_vehicle_could_have_taken_is_computed_beside_the_loop(w: World, threads: set[str]) -> None:
    await untold_stay(w, range(0, 151, 10))
    await settled(w, 242)
    assert "room_of beside the loop" in threads
    assert "room_of on the loop" not in threads
