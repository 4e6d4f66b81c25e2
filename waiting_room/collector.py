"""Python's cycle collector in a process that answers people: it must not walk through everything it knows.

Left alone it does so whenever a quarter more has been allocated: 90 ms of standing still, every other second, in an
ingress that knows 500 clinics. Requests and batches make many short-lived objects and hardly a cycle.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLD: Final = (20_000, 20, 50)
FOR_BATCHES: Final = (150_000, 20, 50)
"""Of whoever works on hundreds of things at once: what a few batches keep alive, some 50,000 objects, would be walked
through over and over, and nothing of it is ever found to be garbage."""


def calm(threshold: tuple[int, int, int] = THRESHOLD) -> None:
    """Collect rarely from now on, and never again what is there already. May be said again when more is there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*threshold)
