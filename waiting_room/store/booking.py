"""A booking as its row has it. Nothing here writes: that is the Journal's."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from waiting_room.domain.appointment import By, ClinicState, Reason, Stage, State, Status
from waiting_room.messages import OfferTold


class Wish(NamedTuple):
    """The time a booking is to be moved to, whose seat is claimed under ``revision``; a row of ``reschedules``."""

    revision: int
    provider_id: str
    seat: int
    start_at: datetime
    end_at: datetime
    move_until: datetime
    by: By = By.PATIENT
    must_move: bool = False


class Booking(msgspec.Struct, kw_only=True):
    """A row of ``appointments``. ``state`` is None until the first event."""

    clinic_id: str
    booking_ref: str
    app_id: str
    accepted_at: datetime
    state: State | None = None
    row_version: int = 0
    ticket: int | None = None
    body_hash: bytes | None = None
    provider_id: str | None = None
    seat: int | None = None
    service_type: str | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None
    patient_id: str | None = None
    """Their tag; see ``patient_keys``, also for how they are sealed."""
    patient: bytes | None = None
    patient_key: bytes | None = None
    """Wrapped; only where the patient is to be named (``store.patient_keys.give``)."""
    held_at: datetime | None = None
    decided_at: datetime | None = None
    hold_until: datetime | None = None
    decide_by: datetime | None = None
    eta_p50: float | None = None
    eta_p90: float | None = None
    next_attempt_at: datetime | None = None
    attempts: int = 0
    clinic_booking_id: str | None = None
    doses: int = 0
    """Given when it was held, over all products; what of them it has now is in ``dose_claims``."""
    range_to: datetime | None = None
    """Where a range was asked for: starts before it would do."""
    wish: Wish | None = None
    """While ``state.moving_to`` is set."""
    offer: OfferTold | None = None
    """While one is being made."""
    offer_accepted_at: datetime | None = None
    moved_by: By | None = None
    """Who wished for the time that it has; None where it was never moved."""

    @property
    def key(self) -> tuple[str, str]:
        return self.clinic_id, self.booking_ref

    @property
    def asked_at(self) -> datetime:
        """From when on a decision has been waited for: a seat may have been waited for before that."""
        return self.offer_accepted_at or self.accepted_at

    @property
    def is_moved_by_clinic(self) -> bool:
        """Whether its clinic, and not its patient, has chosen the time that it has, or is just moving it away."""
        return By.CLINIC in (self.moved_by, self.wish.by if self.wish else None)

    @property
    def others_would_do(self) -> bool:
        """Whether it named a range with room for starts after the one it was given."""
        return self.range_to is not None and self.start_at is not None and self.start_at < self.range_to

    @property
    def known_state(self) -> State:
        if self.state is None:
            raise ValueError(f"{self.booking_ref} has had no event yet")
        return self.state


def booking_of(row: Any) -> Booking:
    """A Booking from a row of ``load_bookings``."""
    fields = dict(row)
    state = State(
        status=Status(fields.pop("status")),
        stage=Stage(stage) if (stage := fields.pop("stage")) else None,
        clinic_state=ClinicState(fields.pop("clinic_state")),
        reason=Reason(reason) if (reason := fields.pop("reason")) else None,
        by=By(by) if (by := fields.pop("by")) else None,
        revision=fields.pop("revision"),
        moving_to=fields.pop("moving_to"),
    )
    if (moved_by := fields["moved_by"]) is not None:
        fields["moved_by"] = By(moved_by)
    wish = Wish(state.moving_to or 0, *(fields.pop(f"wish_{name}") for name in Wish._fields[1:]))
    if wish.by is not None:
        wish = wish._replace(by=By(wish.by))
    return Booking(state=state, wish=None if state.moving_to is None else wish, **fields)
