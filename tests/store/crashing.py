"""A process to be killed: writes without end and prints the number of every write that was acknowledged."""

import asyncio
import sys
from functools import partial

from csms.store import Write, open_store
from csms.store.facts import write_of
from tests.store.made import metered, reading, reported

AT_A_TIME = 200


def fact_of(number: int) -> object:
    """Meter values and, every fifth, a transaction event."""
    if number % 5 == 0:
        return reported(number, readings=(reading(number),))
    return metered(reading(number), message_id=f"m-{number}")


async def write_for_ever(url: str) -> None:
    store = open_store(url, spacing_s=0.002)
    free = asyncio.Semaphore(AT_A_TIME)
    number = 0

    def done(number: int, _result: object) -> None:
        print(number, flush=True)
        free.release()

    while True:
        await free.acquire()
        rows, work = write_of(fact_of(number))  # type: ignore[arg-type]
        store.writer.put(Write(rows, work, partial(done, number)))
        number += 1


if __name__ == "__main__":
    asyncio.run(write_for_ever(sys.argv[1]))
