"""How many commands a caller may send: one bucket an app and one a patient, in this process. Pure, given ``now``.

The generic cell rate algorithm: a bucket holds ``quota`` requests and refills evenly over ``window_seconds``. What is
told follows the IETF's RateLimit header fields (draft-ietf-httpapi-ratelimit-headers-10). Several ingresses allow
several times as much: this guards a process against one caller. What must hold over all of them (pending bookings of
a patient) hold keeps in the database.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil
from typing import Final, NamedTuple

REMEMBERED: Final = 100_000


class Allowed(NamedTuple):
    """What is left after this request; ``reset_seconds``: until all of it is back. ``retry_seconds``: 0 if allowed."""

    remaining: int
    reset_seconds: int
    retry_seconds: int


class Limit:
    """One kind of bucket. A caller that is forgotten begins anew: only the busiest are worth remembering."""

    def __init__(self, name: str, quota: int, window_seconds: int, remembered: int = REMEMBERED) -> None:
        self.name = name
        self.policy = f'"{name}";q={quota};w={window_seconds}'
        self._window = float(window_seconds)
        self._each = window_seconds / quota
        self._remembered = remembered
        self._full_at: OrderedDict[object, float] = OrderedDict()
        """By caller, when its bucket would be full again."""

    def take(self, caller: object, now: float) -> Allowed:
        """One request of this caller; a request that is refused takes nothing."""
        full_at = max(self._full_at.get(caller, now), now)
        after = full_at + self._each
        wait = after - now - self._window
        if wait > 1e-9:
            return Allowed(0, ceil(full_at - now), max(ceil(wait), 1))
        self._full_at[caller] = after
        self._full_at.move_to_end(caller)
        if len(self._full_at) > self._remembered:
            self._full_at.popitem(last=False)
        return Allowed(int((self._window - (after - now)) / self._each + 1e-9), ceil(after - now), 0)

    def told(self, allowed: Allowed) -> str:
        """The RateLimit field."""
        return f'"{self.name}";r={allowed.remaining};t={allowed.reset_seconds}'


class Limits:
    """``refusal`` asks both buckets; the app's is asked first, so that a patient's is not spent in vain."""

    def __init__(self, app_per_second: int, patient_per_minute: int) -> None:
        self._app = Limit("app", app_per_second * 10, 10)
        self._patient = Limit("patient", patient_per_minute, 60)
        self.policy = f"{self._app.policy}, {self._patient.policy}"

    def take(self, app_id: str, patient_id: str | None, now: float) -> tuple[str, str | None, int]:
        """(RateLimit field, the limit that refuses the request if one does, seconds until it would not)."""
        of_app = self._app.take(app_id, now)
        if of_app.retry_seconds or patient_id is None:
            return self._app.told(of_app), "app" if of_app.retry_seconds else None, of_app.retry_seconds
        of_patient = self._patient.take((app_id, patient_id), now)
        told = f"{self._app.told(of_app)}, {self._patient.told(of_patient)}"
        return told, "patient" if of_patient.retry_seconds else None, of_patient.retry_seconds
