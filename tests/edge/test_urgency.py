"""What goes out first when several calls to one station wait. Issue 6 part 3, C7, V2G-52."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from csms.domain.commands import CallResult, TimedOut
from csms.domain.station import Version
from csms.edge.calls import Calls, Outgoing, Urgency, urgency_of
from csms.edge.rpc import Rpc
from csms.edge.schemas import Schemas

SCHEMAS = Schemas(Version.V16)
READING, STATUS, STOP, START = "GetConfiguration", "TriggerMessage", "RemoteStopTransaction", "RemoteStartTransaction"


class Line:
    """The calls of one connection, and what was sent on it, in order."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.calls = Calls(Rpc(Version.V16, SCHEMAS), lambda call: self.sent.append(call.message_id))
        self.tasks: list[asyncio.Task[Any]] = []

    async def ask(self, action: str, id_: str, urgency: Urgency | None = None, evse: int | None = None) -> None:
        outgoing = Outgoing(id_, action, {}, urgency, evse)
        self.tasks.append(asyncio.create_task(self.calls.call(outgoing, 3600)))
        await asyncio.sleep(0)

    async def answer(self) -> None:
        self.calls._rpc.give_up()
        self.calls.answered(CallResult({}))
        await asyncio.sleep(0)

    async def end(self) -> None:
        self.calls.end()
        await asyncio.gather(*self.tasks)


async def test_a_stop_overtakes_what_waits() -> None:
    line = Line()
    for number, action in enumerate((READING, READING, STATUS, START, STOP)):
        await line.ask(action, f"{number} {action}")
    for _ in range(4):
        await line.answer()
    assert [text.split()[1] for text in line.sent] == [READING, STOP, START, STATUS, READING]
    await line.end()


async def test_an_older_setpoint_of_the_same_evse_never_has_the_last_word() -> None:
    """A lower one makes the higher one before it urgent, instead of overtaking it."""
    line = Line()
    await line.ask(READING, "open")
    await line.ask("SetChargingProfile", "more", Urgency.START, 1)
    await line.ask("SetChargingProfile", "elsewhere", Urgency.START, 2)
    await line.ask("SetChargingProfile", "less", Urgency.STOP, 1)
    for _ in range(3):
        await line.answer()
    assert line.sent == ["open", "more", "less", "elsewhere"]
    await line.end()


async def test_what_waited_too_long_is_never_sent() -> None:
    line = Line()
    await line.ask(READING, "open")
    late = asyncio.create_task(line.calls.call(Outgoing("late", STOP, {}), 0.0))
    assert await late == TimedOut()
    await line.answer()
    assert line.sent == ["open"]
    await line.end()


operations = st.lists(
    st.none()  # an answer
    | st.tuples(st.sampled_from(list(Urgency)), st.none())
    | st.tuples(st.sampled_from([Urgency.STOP, Urgency.START]), st.integers(1, 2)),
    max_size=30,
)


@given(operations)
def test_nothing_waits_behind_what_is_less_urgent_and_was_not_sent(asked: list[Any]) -> None:
    """A stop never waits behind a reading that has not been sent; as urgent ones, and setpoints of one EVSE, keep their
    order."""
    asyncio.run(_replay(asked))


async def _replay(asked: list[Any]) -> None:
    line, waiting = Line(), {}
    for number, operation in enumerate(asked):
        before = len(line.sent)
        if operation is None:
            await line.answer()
        else:
            waiting[str(number)] = operation
            await line.ask(STOP, str(number), *operation)
        for id_ in line.sent[before:]:
            urgency, evse = waiting.pop(id_)
            needed = [
                urgency,
                *(u for n, (u, e) in waiting.items() if evse is not None and e == evse and int(n) > int(id_)),
            ]
            assert all(min(needed) <= other for other, _ in waiting.values())
            assert not any(e == evse and evse is not None and int(n) < int(id_) for n, (_, e) in waiting.items())
            assert not any(
                u == urgency and int(n) < int(id_) and e is None for n, (u, e) in waiting.items() if evse is None
            )
    await line.end()


def test_every_action_has_its_place() -> None:
    """Issue 6: stop before start, start before status, status before reading."""
    order = [STOP, "RequestStopTransaction"], ["SetChargingProfile", START], [STATUS, "GetTransactionStatus"], [READING]
    assert [{urgency_of(action) for action in actions} for actions in order] == [{u} for u in Urgency]
