"""The clinics' memory on disk: one JSON line an event, given to the kernel before the caller is answered.

It survives kill -9 of the simulator, not power loss. A line cut short by a kill was never answered: it is
cut off.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadtest.clinics.books import Event

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


class Journal:
    """An open journal file. Read `events` once, before the first `remember`."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises OSError."""
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)

    def events(self) -> Iterator[Event]:
        """What was remembered, oldest first. Raises msgspec.DecodeError if a whole line is not an event."""
        whole_bytes = 0
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                yield _decode(line)
                whole_bytes += len(line)
        os.truncate(self._fd, whole_bytes)

    def remember(self, event: Event) -> None:
        """Append one event. Raises OSError (disk full): then the event must not take effect."""
        line = _encode(event) + b"\n"
        written = os.write(self._fd, line)
        if written != len(line):
            raise OSError(f"{self._path}: wrote {written} of {len(line)} bytes")

    def close(self) -> None:
        os.close(self._fd)


def forget(event: Event) -> None:
    """Instead of a journal: what is in memory is all there is."""
