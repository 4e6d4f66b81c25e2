"""Whether what an app says of how its patient is reached can be read: else they would be told nothing, or at night.

Addresses of channels that nobody has a gateway for are no matter: they are left out when there is something to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ingress import problems
from ingress.refusal import Refused, wrong_field
from waiting_room.domain.notifications import AN_EMAIL, Channel
from waiting_room.domain.quiet_hours import quiet_hours_of

_NO_CHANNEL: Final = "none"
_WORDS: Final = frozenset({*Channel, _NO_CHANNEL})


def require_readable(contact: Mapping[str, str]) -> None:
    """Raises Refused (422)."""
    if "channels" in contact:
        _require_channels(contact["channels"])
    if "quiet_hours" in contact:
        _require_hours(contact["quiet_hours"])
    if "email" in contact and not AN_EMAIL.fullmatch(contact["email"]):
        raise _wrong("email", "That is no email address.", "Send one address and no name, such as anna@example.org.")


def _require_channels(text: str) -> None:
    unknown = [word for word in map(str.strip, text.split(",")) if word not in _WORDS]
    if unknown:
        fix = f"Send some of {', '.join(Channel)}, the preferred first, or {_NO_CHANNEL}: push,sms."
        raise _wrong("channels", f"There is no channel {unknown[0]!r}.", fix)


def _require_hours(text: str) -> None:
    try:
        quiet_hours_of(text)
    except ValueError as error:
        fix = "Send from when to when on the clinic's clock: 21:00-08:00."
        raise _wrong("quiet_hours", f"{error}.", fix) from error


def _wrong(name: str, detail: str, fix: str) -> Refused:
    return wrong_field(f"/patient/contact/{name}", detail, fix, problems.WRONG_VALUE)
