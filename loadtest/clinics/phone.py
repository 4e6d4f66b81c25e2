"""What happens at a clinic by phone: bookings of its own, and bookings of ours that it cancels. Pure.

A log; a cursor says how much of it was told. A clinic that is restarted, or told to forget, knows no older cursor.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from loadtest.clinics.books import Moment

PAGE = 200


class BusyTime(
    msgspec.Struct, frozen=True, kw_only=True, rename={"from_at": "from", "to_at": "to"}, omit_defaults=True
):
    busy_id: str
    provider_id: str
    from_at: Moment
    to_at: Moment
    seats: Annotated[int, Meta(ge=1)] | None = None


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    booking_ref: str
    revision: int
    by: Literal["patient", "clinic"]


class PhoneCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /_sim/clinics/{ID}/phone; one of them."""

    busy: BusyTime | None = None
    gone: str | None = None
    cancel: str | None = None  # a booking_ref
    by: Literal["patient", "clinic"] = "patient"
    forget: bool = False


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to GET {base}/changes."""

    cursor: str
    more: bool
    busy: list[BusyTime]
    gone: list[str]
    cancelled: list[Cancelled]


class Phone:
    """The log of one clinic."""

    def __init__(self) -> None:
        self._times_forgotten = 0
        self._log: list[BusyTime | str | Cancelled] = []

    def note(self, what: BusyTime | str | Cancelled) -> None:
        """A str is the id of a busy time that is gone."""
        self._log.append(what)

    def forget(self) -> None:
        """Keep what is busy now and nothing of how it came to be."""
        busy: dict[str, BusyTime] = {}
        for each in self._log:
            if isinstance(each, BusyTime):
                busy[each.busy_id] = each
            elif isinstance(each, str):
                busy.pop(each, None)
        self._log = list(busy.values())
        self._times_forgotten += 1

    def told(self, after: str | None, epoch: str) -> Told | None:
        """None for a cursor of another ``epoch``, or from before something was forgotten."""
        here = f"{epoch}.{self._times_forgotten}."
        if after is None:
            begin = 0
        elif after.startswith(here) and after[len(here) :].isdecimal():
            begin = int(after[len(here) :])
        else:
            return None
        page = self._log[begin : begin + PAGE]
        end = begin + len(page)
        return Told(
            cursor=f"{here}{end}",
            more=end < len(self._log),
            busy=[each for each in page if isinstance(each, BusyTime)],
            gone=[each for each in page if isinstance(each, str)],
            cancelled=[each for each in page if isinstance(each, Cancelled)],
        )
