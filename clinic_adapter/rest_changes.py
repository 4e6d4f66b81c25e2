"""What has happened at a clinic beside us, told as plain JSON over HTTP.

    call                              answers
    GET {base}/changes                200: all busy times that are not over, and a cursor
    GET {base}/changes?after=CURSOR   200: what has changed since; 410: the cursor is not known any more

    {"cursor": "17", "more": false, "gone": ["tel-3"],
     "busy": [{"busy_id": "tel-4", "provider_id": "dr-okafor", "from": "…", "to": "…", "seats": 1}],
     "cancelled": [{"booking_ref": "…", "revision": 1, "by": "patient"}]}

Busy are bookings that the clinic has made itself, and absences; not ours. Without ``seats`` the provider as a whole.
An answer is at most 64 KiB long: with ``more`` the next part is to be asked for at once.
"""

from __future__ import annotations

import msgspec
from yarl import URL

from clinic_adapter.errors import ClinicOutcomeUnknown, ClinicUnavailable
from clinic_adapter.transport import Transport
from waiting_room.domain.clinic_changes import Changes

_read = msgspec.json.Decoder(Changes).decode


async def read_changes(transport: Transport, address: URL, after: str | None) -> Changes | None:
    """One part; None where the clinic does not know ``after`` any more. Raises ClinicUnavailable: asking changes
    nothing, so whatever is no answer means that there is none.
    """
    if after is not None:
        address = address.with_query({"after": after})
    try:
        reply = await transport.exchange("GET", address, _unconditional)
    except ClinicOutcomeUnknown as error:
        raise ClinicUnavailable(str(error)) from error
    if reply.status == 410 and after is not None:
        return None
    if reply.status != 200:
        raise ClinicUnavailable(f"status {reply.status}", reply.retry_after_seconds)
    try:
        return _read(reply.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ClinicUnavailable("an answer that we cannot read") from error


def _unconditional() -> None:
    """No lease forbids to ask."""
