"""Who comes with a pass instead of a key: its cookie opens one booking, on this site's own pages only.

The cookie is not sent where another site's page leads here (SameSite=Strict), and what changes something needs a
header, ``Idempotency-Key``, that no page can send elsewhere without being allowed to. What browsers say of where a
request comes from is checked besides.
"""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request

from ingress import problems
from ingress.access import unauthenticated
from ingress.parts import Parts
from ingress.refusal import Refused
from ingress.requests import Headers, idempotency_key
from waiting_room.access import SCOPES_OF, OwnerKind
from waiting_room.domain.booking_ref import NotARef, clinic_of, normalise
from waiting_room.messages import AccessKey
from waiting_room.passes import NotAPass, Pass, read
from waiting_room.store import passes


def cookie_name(ref: str) -> str:
    """One for each booking, so that a patient may have several open."""
    return f"__Host-pass_{ref.replace('-', '')}"


async def caller(parts: Parts, request: Request, asked: str | None = None) -> AccessKey:
    """Whose request about one booking this is: a key's or, without one, that of the pass in the booking's cookie.

    ``asked``: its ref as it was sent, where that is not all of ``ref`` in the path. Raises Refused: 400 for a command
    without the header, 401, 403 where another site's page sends it, 503.
    """
    headers = dict(request.scope["headers"])
    if b"authorization" in headers or b"cookie" not in headers:
        return parts.authenticate(headers)
    try:
        ref = normalise(request.path_params["ref"] if asked is None else asked)
    except NotARef:
        return parts.authenticate(headers)
    text = request.cookies.get(cookie_name(ref))
    if text is None:
        return parts.authenticate(headers)
    require_same_site(headers)
    if request.method not in ("GET", "HEAD"):
        idempotency_key(headers)
    try:
        held = await held_pass(parts, text)
    except NotAPass as error:
        raise unauthenticated(f"The pass opens nothing: {error}.") from error
    return AccessKey(
        key_id="pass",
        owner_kind=OwnerKind.PASS,
        owner_id=held.booking_ref,
        secret_hash=b"",
        scopes=SCOPES_OF[OwnerKind.PASS],
        expires_at=held.ends_at,
    )


async def held_pass(parts: Parts, text: str) -> Pass:
    """The pass, if it holds now. Raises NotAPass, and Refused (503) while that cannot be told."""
    parts.require_knowing()
    found = read(parts.settings.link_secrets, text, datetime.now(UTC))
    ref = found.booking_ref
    generation = await parts.reads.run(lambda connection: passes.generation(connection, clinic_of(ref), ref))
    if generation != found.generation:
        raise NotAPass("it was revoked")
    return found


def require_same_site(headers: Headers) -> None:
    """Raises Refused (403)."""
    if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
        more = {"next_step": "Open the link of the message itself, or use the app you have booked with."}
        raise Refused(problems.FORBIDDEN, "A pass is not taken from another site's page.", more=more)
