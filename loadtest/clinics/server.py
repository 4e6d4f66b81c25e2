"""Hundreds of clinics behind one socket: routes and timers. What a clinic does is in `clinic`."""

import math
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from urllib.parse import parse_qs

from loadtest.clinics import admin, dialect
from loadtest.clinics.behaviour import Spec
from loadtest.clinics.books import Event
from loadtest.clinics.clinic import Clinic, Reply
from loadtest.clinics.course import Course, Fate
from loadtest.clinics.timers import Timers
from loadtest.httpserver import Exchange

Act = Callable[[Course], Reply]


class Simulator:
    """The handler for `httpserver`. Must be built inside the running loop: its clock starts then."""

    def __init__(self, spec: Spec, seed: int, remember: Callable[[Event], None]) -> None:
        self.clinics = {
            clinic_id: Clinic(clinic_id, behaviour, seed, remember) for clinic_id, behaviour in spec.clinics.items()
        }
        self._call_later = Timers().call_later
        self._started = time.monotonic()
        self._epoch = secrets.token_hex(4)

    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._started

    def handle(self, exchange: Exchange) -> None:
        steps = exchange.path.split(b"/")
        if len(steps) >= 4 and steps[1] == b"clinics" and steps[3] == b"bookings":
            clinic = self.clinics.get(steps[2].decode("latin-1"))
            if clinic is None:
                dialect.answer_problem(exchange, 404, "unknown_clinic")
            elif len(steps) == 4:
                self._on_bookings(exchange, clinic)
            elif len(steps) == 5:
                self._on_booking(exchange, clinic, steps[4].decode("latin-1"))
            else:
                dialect.answer_problem(exchange, 404, "unknown_path")
        elif len(steps) == 4 and steps[1] == b"clinics" and steps[3] == b"changes":
            self._on_changes(exchange, self.clinics.get(steps[2].decode("latin-1")))
        else:
            admin.handle(exchange, self.clinics, self.elapsed_seconds())

    def _on_bookings(self, exchange: Exchange, clinic: Clinic) -> None:
        if exchange.method != b"POST":
            dialect.answer_problem(exchange, 405, "method_not_allowed")
            return
        try:
            request = dialect.booking_request(exchange, clinic.behaviour.idempotency)
        except dialect.BadRequestError as error:
            dialect.answer_problem(exchange, 400, "bad_request", str(error))
            return
        self._run(exchange, clinic, lambda course: clinic.book(request, course, datetime.now(UTC)))

    def _on_booking(self, exchange: Exchange, clinic: Clinic, booking_ref: str) -> None:
        if exchange.method == b"GET":
            if clinic.behaviour.lookup:
                self._run(exchange, clinic, lambda _: clinic.look_up(booking_ref))
            else:
                dialect.answer_problem(exchange, 501, "no_look_up")
        elif exchange.method == b"DELETE":
            try:
                revision = dialect.withdrawn_revision(exchange, booking_ref, clinic.behaviour.idempotency)
            except dialect.BadRequestError as error:
                dialect.answer_problem(exchange, 400, "bad_request", str(error))
                return
            self._run(exchange, clinic, lambda _: clinic.withdraw(booking_ref, revision, datetime.now(UTC)))
        else:
            dialect.answer_problem(exchange, 405, "method_not_allowed")

    def _on_changes(self, exchange: Exchange, clinic: Clinic | None) -> None:
        """Answered at once, and no call that its capacity is taken up by."""
        if clinic is None or exchange.method != b"GET":
            dialect.answer_problem(exchange, 405 if clinic else 404, "unknown_path")
        elif clinic.behaviour.outage_at(self.elapsed_seconds()):
            dialect.answer_busy(exchange, 503, "down", 1)
        else:
            after = parse_qs(exchange.query.decode("latin-1")).get("after", [None])[0]
            dialect.answer_changes(exchange, clinic.phone.told(after, self._epoch))

    def _run(self, exchange: Exchange, clinic: Clinic, act: Act) -> None:
        """Start a call on its course. Once admitted it is carried out, whether the caller waits or not."""
        course = clinic.arrive(self.elapsed_seconds())
        if course.after_seconds == math.inf:
            exchange.on_gone(lambda: clinic.leave(course, self.elapsed_seconds()))
        elif not course.admitted:
            _turn_away(exchange, clinic, course)
        elif course.after_seconds == 0:
            _carry_out(exchange, course, act)
        else:
            self._call_later(course.after_seconds, partial(self._finish, exchange, clinic, course, act))

    def _finish(self, exchange: Exchange, clinic: Clinic, course: Course, act: Act) -> None:
        clinic.leave(course, self.elapsed_seconds())
        _carry_out(exchange, course, act)


def _carry_out(exchange: Exchange, course: Course, act: Act) -> None:
    try:
        reply = act(course)
    except OSError as error:  # the journal's: nothing was done
        dialect.answer_problem(exchange, 500, "not_stored", str(error))
        return
    if course.fate is Fate.DROPPED:
        exchange.cut()
    elif course.fate is not Fate.LATE:
        dialect.answer_reply(exchange, reply, shown=exchange.method == b"GET")


def _turn_away(exchange: Exchange, clinic: Clinic, course: Course) -> None:
    behaviour = clinic.behaviour
    retry_after_seconds = math.ceil(behaviour.retry_after * behaviour.time_scale)
    match course.fate:
        case Fate.CUT:
            exchange.cut()
        case Fate.OVERLOADED:
            dialect.answer_busy(exchange, behaviour.overload_status, "overloaded", retry_after_seconds)
        case Fate.DOWN:
            dialect.answer_busy(exchange, 503, "down", retry_after_seconds)
        case _:
            dialect.answer_problem(exchange, 500, "error")
