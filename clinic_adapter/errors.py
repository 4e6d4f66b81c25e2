"""How a call at a clinic can fail, by what may be at the clinic afterwards.

    ClinicError
      ClinicUnavailable       the clinic surely did nothing: never sent, or it said so
        ClinicOverloaded      ... because it is too busy (429, 503)
      ClinicOutcomeUnknown    maybe booked: look up before anything else
      ClinicRefused           final: tell the patient
      ClinicCannotLookUp      it has no way to say what it holds
    LeaseLost                 not the clinic's doing: the caller's own check forbade to send; never sent

Whatever the HTTP client raises is translated into one of these at one place (``transport.py``). Messages are for
logs: they name what happened and never carry what was sent.
"""

from __future__ import annotations


class ClinicError(Exception):
    """Any failure of a call at a clinic."""


class ClinicUnavailable(ClinicError):
    """The clinic surely did nothing. ``retry_after_seconds`` is its own word on when to come back, if it gave one."""

    def __init__(self, what: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(what)
        self.retry_after_seconds = retry_after_seconds


class ClinicOverloaded(ClinicUnavailable):
    """The clinic is too busy and did nothing."""


class ClinicOutcomeUnknown(ClinicError):
    """The call may have taken effect, or may still."""


class ClinicRefused(ClinicError):
    """The clinic's final no; ``reason`` is its own short code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ClinicCannotLookUp(ClinicError):
    """The clinic does not offer look-ups."""


class LeaseLost(Exception):
    """Raised by a caller's check just before a request would have left: it must not be sent any more."""
