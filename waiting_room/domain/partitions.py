"""Which partition a clinic's records go to: explicit, remembered, spread by number of clinics."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping


class CannotAssign(ValueError):
    """A wanted partition cannot be given; one line a clinic."""


def assign(wanted: Mapping[str, int | None], held: Mapping[str, int], partitions: int) -> dict[str, int]:
    """A partition, 0 to ``partitions`` - 1, for each clinic in ``wanted``; None leaves the choice to us.

    ``held`` is what every clinic has now: it keeps that, since moving one takes a marker in its old partition that
    hold waits for. A new clinic gets the partition that the fewest clinics have. Raises CannotAssign.
    """
    if mistakes := _mistakes(wanted, held, partitions):
        raise CannotAssign("\n".join(mistakes))
    assigned = {clinic: held.get(clinic, partition) for clinic, partition in wanted.items()}
    used = Counter(held.values())
    used.update(partition for clinic, partition in assigned.items() if clinic not in held and partition is not None)
    by_use = [(used[partition], partition) for partition in range(partitions)]
    heapq.heapify(by_use)
    chosen = {}
    for clinic, partition in assigned.items():
        if partition is None:
            clinics, partition = by_use[0]
            heapq.heapreplace(by_use, (clinics + 1, partition))
        chosen[clinic] = partition
    return chosen


def _mistakes(wanted: Mapping[str, int | None], held: Mapping[str, int], partitions: int) -> list[str]:
    mistakes = []
    for clinic, partition in wanted.items():
        if partition is None:
            continue
        if partition >= partitions:
            mistakes.append(f"clinic {clinic}: partition {partition} is not one of 0 to {partitions - 1}")
        elif held.get(clinic, partition) != partition:
            mistakes.append(
                f"clinic {clinic}: is on partition {held[clinic]}, not {partition}; moving a clinic needs the move "
                f"command: directory move {clinic} {partition}"
            )
    return mistakes
