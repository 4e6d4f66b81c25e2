"""How a patient is reached, as an app may say it."""

from __future__ import annotations

import pytest

from ingress.contact import require_readable
from ingress.refusal import Refused


@pytest.mark.parametrize(
    "contact",
    [
        {},
        {"email": "anna@example.org", "sms": "+491", "push": "token", "fax": "+492"},
        {"sms": "+491", "channels": "push, sms", "quiet_hours": "21:00-08:00"},
        {"email": "anna@example.org", "channels": "none"},
    ],
)
def test_what_can_be_read_is_taken(contact: dict[str, str]) -> None:
    require_readable(contact)


@pytest.mark.parametrize(
    ("contact", "name", "words"),
    [
        ({"channels": "pigeon,sms"}, "channels", "email, sms, push"),
        ({"channels": ""}, "channels", "none"),
        ({"quiet_hours": "at night"}, "quiet_hours", "21:00-08:00"),
        ({"quiet_hours": "21:00-25:00"}, "quiet_hours", "21:00-08:00"),
        ({"quiet_hours": "08:00-08:00"}, "quiet_hours", "21:00-08:00"),
        ({"email": "anna"}, "email", "anna@example.org"),
        ({"email": "Anna <anna@example.org>"}, "email", "no name"),
    ],
)
def test_what_cannot_be_read_is_named(contact: dict[str, str], name: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        require_readable(contact)
    [fault] = refused.value.errors
    assert fault.pointer == f"/patient/contact/{name}"
    assert words in fault.fix
