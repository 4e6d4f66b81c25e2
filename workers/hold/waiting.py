"""What one line of hold has read and cannot hold yet: commands of clinics that are on their way from another partition.

A clinic that waits does not hold up its neighbours, and nothing of it overtakes what waits. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from aiokafka import ConsumerRecord

Line = tuple[str, int, bytes]
"""(topic, partition, key): a clinic's records in one partition."""


class Waiting:
    """Records by line, in the order of their offsets; one that is read again while it waits is there once."""

    def __init__(self) -> None:
        self._lines: dict[Line, dict[int, ConsumerRecord]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def ready(self, records: Iterable[ConsumerRecord]) -> list[ConsumerRecord]:
        """Those that need not wait, as far as anybody here knows; the others line up behind what waits."""
        if not self._lines:
            return list(records)
        ready = []
        for record in records:
            line = self._lines.get(_line_of(record))
            if line is None:
                ready.append(record)
            else:
                line[record.offset] = record
        return ready

    def add(self, records: Iterable[ConsumerRecord]) -> list[Line]:
        """These have to wait. The lines in which nothing did before."""
        new = []
        for record in records:
            line = _line_of(record)
            if line not in self._lines:
                self._lines[line] = {}
                new.append(line)
            self._lines[line][record.offset] = record
        return new

    def lines(self) -> list[Line]:
        """Those in which anything waits."""
        return list(self._lines)

    def batches(self, line: Line, most: int) -> Iterator[Sequence[ConsumerRecord]]:
        """What waits in this line, the first first. Say ``done`` of a batch before asking for the next."""
        while (waiting := self._lines.get(line)) is not None:
            yield list(islice(waiting.values(), most))

    def done(self, line: Line, records: Iterable[ConsumerRecord]) -> bool:
        """These need not wait any more. Whether nothing of this line does."""
        waiting = self._lines[line]
        for record in records:
            del waiting[record.offset]
        if not waiting:
            del self._lines[line]
        return not waiting


def _line_of(record: ConsumerRecord) -> Line:
    return record.topic, record.partition, record.key or b""
