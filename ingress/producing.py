"""Whether Kafka acknowledges what it is handed: pure, monotonic seconds are given.

A record whose acknowledgement is late makes its partition suspect; when nothing at all has been acknowledged for as
long, or the producer is away, every partition is refused. Nothing is handed over then: it would pile up in the
client and be written after its caller was told otherwise. A suspect is cleared by the acknowledgement of a probe, a
record that was sent to it after it became one.
"""

from __future__ import annotations

from typing import Final

LATE_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 5.0
"""After this long without an acknowledgement a probe finds out whether Kafka would still take a booking."""


class Sent:
    """A record that was handed over and is not acknowledged yet."""

    __slots__ = ("at_seconds", "partition", "probe")

    def __init__(self, partition: int, at_seconds: float, *, probe: bool = False) -> None:
        self.partition = partition
        self.at_seconds = at_seconds
        self.probe = probe


class Producing:
    """Starts out failing: the first probe has to be acknowledged."""

    def __init__(self, now: float) -> None:
        self._unacknowledged: dict[Sent, None] = {}  # in the order they were sent
        self._suspects: set[int] = {0}
        self._probed: set[int] = set()
        self._failing = True
        self._acknowledged_at = now

    @property
    def failing(self) -> bool:
        """Whether no partition takes anything."""
        return self._failing

    @property
    def unacknowledged(self) -> int:
        return len(self._unacknowledged)

    def takes(self, partition: int) -> bool:
        """Whether a record may be handed over for this partition."""
        return not self._failing and partition not in self._suspects

    def sent(self, partition: int, now: float) -> Sent:
        """A command was handed over; give the token back to ``acknowledged`` or ``failed``."""
        sent = Sent(partition, now)
        self._unacknowledged[sent] = None
        return sent

    def probed(self, partition: int, now: float) -> Sent:
        """A probe was handed over."""
        sent = Sent(partition, now, probe=True)
        self._unacknowledged[sent] = None
        self._probed.add(partition)
        return sent

    def acknowledged(self, sent: Sent, now: float) -> None:
        del self._unacknowledged[sent]
        self._acknowledged_at = now
        if sent.probe:
            self._probed.discard(sent.partition)
            self._suspects.discard(sent.partition)
            self._failing = False

    def failed(self, sent: Sent) -> None:
        """Its fate is unknown and the producer that had it is being replaced."""
        del self._unacknowledged[sent]
        if sent.probe:
            self._probed.discard(sent.partition)
        self._suspects.add(sent.partition)
        self._failing = True

    def look(self, now: float, *, started: bool) -> None:
        """Judge anew; called several times a second."""
        for sent in self._unacknowledged:
            if now - sent.at_seconds <= LATE_SECONDS:
                break
            self._suspects.add(sent.partition)
            if now - self._acknowledged_at > LATE_SECONDS:
                self._failing = True
        if not started:
            self._failing = True

    def to_probe(self, now: float) -> list[int]:
        """Partitions that need a probe now: suspects, or any one when nothing was acknowledged for a while."""
        wanted = set(self._suspects)
        if not wanted and (self._failing or now - self._acknowledged_at > IDLE_SECONDS):
            wanted.add(0)
        return sorted(wanted - self._probed)
