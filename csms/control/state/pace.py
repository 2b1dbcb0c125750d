"""Work that grows with the fleet is done in slices: whoever else waits for the loop goes in between. Design §6; C9."""

import asyncio
import time

SLICE_S = 0.004
"""A slice is over after this; an answer that waits meanwhile is hardly later."""


class Pace:
    """Says when the loop has been held long enough."""

    def __init__(self) -> None:
        self._begun_s = time.perf_counter()

    async def breathe(self) -> None:
        """Let the others go first, if this slice is over."""
        if time.perf_counter() - self._begun_s >= SLICE_S:
            await asyncio.sleep(0)
            self._begun_s = time.perf_counter()

    @property
    def is_over(self) -> bool:
        """This slice is over: call ``breathe``."""
        return time.perf_counter() - self._begun_s >= SLICE_S
