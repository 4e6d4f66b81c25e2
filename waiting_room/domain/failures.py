"""Why a call at a clinic brought no answer, named by what it leaves us knowing.

What happens next is one pure table (``workers/pacing/disposition.py``); what it means for the booking's state is in
``clinic_call.resolve``. The values are stored as attempt outcomes and are metric labels.
"""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    NOT_SENT = "not_sent"
    """Ours: nothing left this machine, because the claim's lease would have run out during the call."""
    UNAVAILABLE = "unavailable"
    """The clinic could not be reached, or said that it did nothing."""
    OVERLOADED = "overloaded"
    """The clinic said that it is too busy, and did nothing."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """Bytes may have reached the clinic and no answer that counts came back: it may have booked."""
    REFUSED = "refused"
    """The clinic's final no."""
    CANNOT_LOOK_UP = "cannot_look_up"
    """The clinic has no way to say what it holds."""
    UNPROCESSABLE = "unprocessable"
    """The stored booking cannot be made into a call, however often it is tried."""
    FAULT = "fault"
    """A bug of ours: the same work fails again and again without a clinic having been asked."""


CLINIC_DID_NOTHING = frozenset({Failure.NOT_SENT, Failure.UNAVAILABLE, Failure.OVERLOADED, Failure.UNPROCESSABLE})
"""After these of a confirming call, nothing of *this* call can be at the clinic."""
