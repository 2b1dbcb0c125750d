"""Several DR events of one direction decided as one: the flow of watts, then whole powers, then who moved what. A11."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csms.domain.dr import DrEvent
from policies.joint import Flow, Wish
from policies.response import Party
from policies.setpoints import Moved
from policies.shortfall import given_w, misses
from policies.tree import SiteTree, Watts

MOST_ROUNDS = 8
"""Of asking others for what is missing, see ``allocation``."""
STOP, DISCHARGE = slice(0, 2), 2
"""Columns of a vehicle's steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Where events of one direction are served. W per place: ``taken`` now, ``without`` any event, ``least_w`` that is
    not zero. ``sign`` 1 = upwards."""

    tree: SiteTree
    parties: Sequence[Party]
    room: Sequence[int]
    taken: Watts
    without: Watts
    least_w: Watts
    sign: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """``moved``: place -> what moved it. Per event: W that could move, whether a cap was in the way, and W that will
    not come by what was seen."""

    powers: Watts
    moved: Mapping[int, tuple[Moved, ...]]
    capacity_w: Sequence[int]
    is_capped: Sequence[bool]
    missing_w: Sequence[int]


def together(field: Field, events: Sequence[DrEvent], wishes: Sequence[Wish]) -> Outcome:
    """Serve the events, the most important first. What a vehicle does not give is asked of others (V2G-9)."""
    doubtful = [
        (place, party)
        for place, party in enumerate(field.parties)
        if party.evse.served is not None and any(misses(party.evse, event) for event in events)
    ]
    missing = [0] * len(events)
    for _ in range(MOST_ROUNDS):
        asked = [
            Wish(wish.quantity, wish.rank, wish.wanted_w + more) for wish, more in zip(wishes, missing, strict=True)
        ]
        flow = Flow(field.tree, field.room, asked)
        served = [flow.serve(number) for number in range(len(events))]
        _discharge_last(flow.used, wishes)
        _make_whole(field, flow)
        found = _missing(field, events, flow.used, doubtful)
        if all(new <= old for new, old in zip(found, missing, strict=True)):
            break
        missing = [max(new, old) for new, old in zip(found, missing, strict=True)]
    powers = field.taken + field.sign * flow.total.sum(axis=1)
    places = np.flatnonzero(powers != field.taken).tolist()
    return Outcome(
        powers=powers,
        moved={place: _stack(field, events, flow.used[:, place], place) for place in places},
        capacity_w=[capacity for capacity, _ in served],
        is_capped=[is_capped for _, is_capped in served],
        missing_w=missing,
    )


def _discharge_last(used: NDArray[np.int64], wishes: Sequence[Wish]) -> None:
    """Nobody discharges who could stop charging instead: whoever may do the one may do the other, and it takes no more
    room."""
    size = np.max([wish.quantity for wish in wishes], axis=0)
    spare = size[:, STOP] - used[:, :, STOP].sum(axis=0)
    early = np.flatnonzero((spare.sum(axis=1) > 0) & (used[:, :, DISCHARGE].sum(axis=0) > 0))
    for place in early.tolist():
        for number in reversed(range(len(wishes))):
            for column in (0, 1):
                own = int(wishes[number].quantity[place, column] - used[number, place, column])
                power = min(int(used[number, place, DISCHARGE]), int(spare[place, column]), own)
                used[number, place, DISCHARGE] -= power
                used[number, place, column] += power
                spare[place, column] -= power


def _make_whole(field: Field, flow: Flow) -> None:
    """No power between 0 and the least: the last event at a vehicle moves it all the way where there is room for that,
    else less far."""
    after = field.taken + field.sign * flow.total.sum(axis=1)
    is_between = (after > 0) & (after < field.least_w) & (after != field.taken)
    for place in np.flatnonzero(is_between).tolist():
        if not _moved_further(field, flow, place, int(after[place])):
            _moved_less(field, flow, place, int(after[place]))


def _moved_further(field: Field, flow: Flow, place: int, after_w: int) -> bool:
    more_w = after_w if field.sign < 0 else int(field.least_w[place]) - after_w
    last = int(np.flatnonzero(flow.used[:, place].sum(axis=1))[-1])
    offered = flow.offered(last)[place]
    free_w = min(more_w, int(offered[0]))
    room_w = min(int(flow.room()[node]) for node in field.tree.ancestors[place])
    if more_w - free_w > min(int(offered[1]), room_w):
        return False
    flow.used[last, place, 0] += free_w
    flow.used[last, place, 1] += more_w - free_w
    return True


def _moved_less(field: Field, flow: Flow, place: int, after_w: int) -> None:
    """Down: to the least power. Up: not at all."""
    keeps = field.sign < 0 and field.taken[place] >= field.least_w[place]
    left_w = int(field.least_w[place]) - after_w if keeps else int(flow.used[:, place].sum())
    for column in reversed(range(flow.used.shape[2])):
        for number in reversed(range(len(flow.used))):
            given_up = min(left_w, int(flow.used[number, place, column]))
            flow.used[number, place, column] -= given_up
            left_w -= given_up


def _missing(
    field: Field, events: Sequence[DrEvent], used: NDArray[np.int64], doubtful: Sequence[tuple[int, Party]]
) -> list[int]:
    """W of each event that will not come: what was moved last is what is missing."""
    found = [0] * len(events)
    for place, party in doubtful:
        given = given_w(party.evse, int(field.taken[place]), events[0])
        for number, power in _in_order(used[:, place]):
            kept, given = min(power, given), max(0, given - power)
            found[number] += power - kept if misses(party.evse, events[number]) else 0
    return [min(missing, event.requested_w) for missing, event in zip(found, events, strict=True)]


def _in_order(used: NDArray[np.int64]) -> list[tuple[int, int]]:
    """(event, W) of one vehicle from the first watt to the last: charging stops before a discharge begins."""
    stopped, discharged = used[:, STOP].sum(axis=1).tolist(), used[:, DISCHARGE].tolist()
    return [(number, power) for part in (stopped, discharged) for number, power in enumerate(part) if power > 0]


def _stack(field: Field, events: Sequence[DrEvent], used: NDArray[np.int64], place: int) -> tuple[Moved, ...]:
    """Who moved what, counted from what would flow without any event: what has changed since by itself is the first's,
    or is taken off it."""
    more_w = field.sign * int(field.taken[place] - field.without[place])
    found: list[Moved] = []
    for number, power in _in_order(used):
        own, more_w = max(0, power + more_w), min(0, power + more_w)
        if own == 0:
            continue
        if found and found[-1].event is events[number]:
            own += found.pop().power_w
        found.append(Moved(events[number], own))
    return tuple(found) or (Moved(events[_in_order(used)[0][0]], 0),)
