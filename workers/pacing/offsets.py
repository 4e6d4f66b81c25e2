"""Which offset of a partition may be committed: the lowest that is not finished yet, never more.

Records finish in any order; what is redelivered after a crash is what had not finished, and what had finished above
the lowest unfinished. The gap between both is kept bounded by whoever reads, with ``gap``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

Partition = tuple[str, int]
"""(topic, number)"""


class _Progress:
    """One partition since it was assigned."""

    __slots__ = ("committed", "finished", "next_offset", "unfinished")

    def __init__(self) -> None:
        self.unfinished: deque[int] = deque()  # ascending; its head is never in ``finished``
        self.finished: set[int] = set()  # those of ``unfinished`` behind its head that are done
        self.next_offset: int | None = None
        self.committed: int | None = None

    @property
    def lowest(self) -> int | None:
        return self.unfinished[0] if self.unfinished else self.next_offset


class Offsets:
    """The progress of every partition that is assigned."""

    def __init__(self) -> None:
        self._partitions: dict[Partition, _Progress] = {}

    def assigned(self, partitions: Collection[Partition]) -> None:
        """These are ours from now on, with nothing read."""
        for partition in partitions:
            self._partitions[partition] = _Progress()

    def revoked(self, partitions: Collection[Partition]) -> None:
        """These are somebody else's; what is still unfinished of them will be read again."""
        for partition in partitions:
            self._partitions.pop(partition, None)

    @property
    def assignment(self) -> frozenset[Partition]:
        """What is ours."""
        return frozenset(self._partitions)

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._partitions

    def started(self, partition: Partition, offset: int) -> bool:
        """A record was read. False if the partition is not ours, or this record was read before."""
        progress = self._partitions.get(partition)
        if progress is None or (progress.next_offset is not None and offset < progress.next_offset):
            return False
        if progress.committed is None:
            progress.committed = offset  # where reading began: nothing new to store
        progress.unfinished.append(offset)
        progress.next_offset = offset + 1
        return True

    def finished(self, partition: Partition, offset: int) -> None:
        """Nothing is left to do for this record. Of a partition that is not ours: ignored."""
        progress = self._partitions.get(partition)
        if progress is None or progress.next_offset is None or offset >= progress.next_offset:
            return
        unfinished = progress.unfinished
        if not unfinished or offset < unfinished[0]:
            return
        progress.finished.add(offset)
        while unfinished and unfinished[0] in progress.finished:
            progress.finished.discard(unfinished.popleft())

    def next_once(self, partition: Partition, finishing: Collection[int] = ()) -> int | None:
        """The lowest unfinished offset, or the next to be read, once these are finished as well.

        None: nothing of it was read.
        """
        progress = self._partitions.get(partition)
        if progress is None:
            return None
        for offset in progress.unfinished:
            if offset not in finishing and offset not in progress.finished:
                return offset
        return progress.next_offset

    def gap(self, partition: Partition) -> int:
        """Records from the lowest unfinished one to the last one read, both counted."""
        progress = self._partitions.get(partition)
        return 0 if progress is None else len(progress.unfinished)

    def committable(self) -> dict[Partition, int]:
        """By partition the next offset to read after a crash, where that is more than what was committed."""
        return {
            partition: progress.lowest
            for partition, progress in self._partitions.items()
            if progress.lowest is not None and progress.lowest != progress.committed
        }

    def committed(self, offsets: dict[Partition, int]) -> None:
        """These were stored by the broker."""
        for partition, offset in offsets.items():
            if (progress := self._partitions.get(partition)) is not None:
                progress.committed = offset
