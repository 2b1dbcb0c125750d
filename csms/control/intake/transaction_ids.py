"""Ids for 1.6 transactions. V2G-55, design §3."""

IDS_PER_BLOCK = 1000
"""1.6 transaction ids are reserved in blocks, so that a start needs no read (design §3)."""


class TransactionIds:
    """Positive int31 ids from blocks of the store's sequence; never reused (V2G-55)."""

    def __init__(self) -> None:
        self._blocks: list[tuple[int, int]] = []
        self._next, self._end = 0, 0
        self._asked = False

    def feed(self, first: int, count: int) -> None:
        self._blocks.append((first, first + count))
        self._asked = False

    def went_without(self) -> None:
        """The block that was asked for did not come: the next start asks again (C7)."""
        self._asked = False

    @property
    def should_ask(self) -> bool:
        """Whether another block is needed and not on its way yet; says so once."""
        asks = self.left <= IDS_PER_BLOCK // 2 and not self._asked
        self._asked = self._asked or asks
        return asks

    @property
    def left(self) -> int:
        return self._end - self._next + sum(end - first for first, end in self._blocks)

    def take(self) -> int | None:
        """The next id; None when none is left: the write that needs one reserves it itself."""
        if self._next == self._end:
            if not self._blocks:
                return None
            self._next, self._end = self._blocks.pop(0)
        self._next += 1
        return self._next - 1
