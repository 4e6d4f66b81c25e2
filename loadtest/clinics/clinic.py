"""One simulated clinic: calls come in, take their course, and take effect. Pure: no sockets, no clock of
its own.

    course = clinic.arrive(now)             # what will become of this call
    ... course.after_seconds later ...
    clinic.leave(course, now)               # its place is free again
    reply = clinic.book(request, course, at)

Times are seconds since the simulator's start; `at` is the same moment as an aware datetime.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import msgspec

from loadtest.clinics.behaviour import ClinicBehaviour
from loadtest.clinics.books import BookingRequest, Books, Event, Record, SupersededError
from loadtest.clinics.course import AT_ONCE, Course, Dice, Fate, decide
from loadtest.clinics.phone import Cancelled, Phone, PhoneCall


class Reply(NamedTuple):
    """`status` is HTTP's; `record` where one is shown, `reason` where the call is refused."""

    status: int
    record: Record | None = None
    reason: str = ""


class Stats(msgspec.Struct):
    """`busy_seconds` is the integral of min(in flight, capacity) over time, `open_seconds` that of in flight.

    Drain efficiency between two readings taken while the line is not empty: (busy_2 - busy_1) / (capacity *
    (elapsed_2 - elapsed_1)). `superseded` counts stragglers: calls that arrived after a newer revision,
    which a careful caller never sends.
    """

    calls: int
    in_flight: int
    max_in_flight: int
    capacity: int
    busy_seconds: float
    open_seconds: float
    mean_latency_seconds: float | None
    finished: int
    bookings_made: int
    repeats: int
    superseded: int
    fates: dict[str, int]
    outage: str | None


class Clinic:
    """Behaviour, appointment book and meters of one clinic."""

    def __init__(
        self, clinic_id: str, behaviour: ClinicBehaviour, seed: int, remember: Callable[[Event], None]
    ) -> None:
        self.behaviour = behaviour
        self._at_once = behaviour.always_at_once
        self.books = Books(clinic_id, remember)
        self.phone = Phone()
        self._dice = Dice(seed, clinic_id)
        self._fates: Counter[Fate] = Counter()
        self._in_flight = 0
        self._max_in_flight = 0
        self._metered_until = 0.0
        self._busy_seconds = 0.0
        self._open_seconds = 0.0
        self._finished = 0
        self._finished_seconds = 0.0
        self._repeats = 0
        self._superseded = 0

    def arrive(self, now: float) -> Course:
        """Take note of a call and decide its course. If that takes time, it is in flight until `leave`."""
        draws = self._dice.throw()
        course = AT_ONCE if self._at_once else decide(self.behaviour, self._in_flight, now, draws)
        self._fates[course.fate] += 1
        if course.admitted and course.after_seconds > 0:
            self._meter(now)
            self._in_flight += 1
            self._max_in_flight = max(self._max_in_flight, self._in_flight)
        return course

    def leave(self, course: Course, now: float) -> None:
        """A call that was in flight is carried out, or its caller gave up on a hung one."""
        self._meter(now)
        self._in_flight -= 1
        if course.fate is not Fate.HUNG:
            self._finished += 1
            self._finished_seconds += course.after_seconds

    def book(self, request: BookingRequest, course: Course, at: datetime) -> Reply:
        """Carry out a booking call: 201, 200 for a repeat, 409 if refused or superseded."""
        if self.behaviour.idempotency:
            known = self.books.find(request.booking_ref, request.revision)
            if known is not None:
                self._repeats += 1
                return Reply(200, known)
        if course.fate is Fate.REFUSED:
            return Reply(409, reason=self.behaviour.refuse_reason)
        try:
            return Reply(201, self.books.book(request, at))
        except SupersededError:
            self._superseded += 1
            return Reply(409, reason="superseded")

    def look_up(self, booking_ref: str) -> Reply:
        """200 with the newest revision, withdrawn or not; 404."""
        record = self.books.newest(booking_ref)
        return Reply(200, record) if record else Reply(404, reason="unknown_booking")

    def withdraw(self, booking_ref: str, revision: int | None, at: datetime) -> Reply:
        """204, also when withdrawn before; 404 if unknown; 409 if only newer revisions are held."""
        try:
            known = self.books.withdraw(booking_ref, revision, at)
        except SupersededError:
            self._superseded += 1
            return Reply(409, reason="superseded")
        return Reply(204) if known else Reply(404, reason="unknown_booking")

    def answer_phone(self, call: PhoneCall, at: datetime) -> bool:
        """Something is booked or cancelled here and not by us; False where there is nothing to cancel."""
        if call.busy is not None:
            self.phone.note(call.busy)
        if call.gone is not None:
            self.phone.note(call.gone)
        if call.forget:
            self.phone.forget()
        if call.cancel is None:
            return True
        record = self.books.newest(call.cancel)
        if record is None or not record.effective_bookings:
            return False
        self.books.withdraw(call.cancel, None, at)
        self.phone.note(Cancelled(booking_ref=call.cancel, revision=record.revision, by=call.by))
        return True

    def stats(self, now: float) -> Stats:
        self._meter(now)
        return Stats(
            calls=self._fates.total(),
            in_flight=self._in_flight,
            max_in_flight=self._max_in_flight,
            capacity=self.behaviour.capacity,
            busy_seconds=self._busy_seconds,
            open_seconds=self._open_seconds,
            mean_latency_seconds=self._finished_seconds / self._finished if self._finished else None,
            finished=self._finished,
            bookings_made=len(self.books),
            repeats=self._repeats,
            superseded=self._superseded,
            fates={fate.value: self._fates[fate] for fate in Fate},
            outage=self.behaviour.outage_at(now),
        )

    def change(self, behaviour: ClinicBehaviour, now: float) -> None:
        """Behave differently from now on; calls under way keep their course."""
        self._meter(now)
        self.behaviour = behaviour
        self._at_once = behaviour.always_at_once

    def _meter(self, now: float) -> None:
        """Bring the integrals up to `now`; before anything they depend on changes."""
        passed = now - self._metered_until
        self._metered_until = now
        self._open_seconds += self._in_flight * passed
        self._busy_seconds += min(self._in_flight, self.behaviour.capacity) * passed
