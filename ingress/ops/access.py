"""Who may look at /ops: an operator by key, and whoever is at this machine.

The page shows no patient and changes nothing, but it does show how every clinic fares. On one machine (`make up`) a key
would only be in the way. So a caller without a key is let in if it comes from the loopback address, asks for this
machine by such a name (a web page elsewhere cannot make a browser do that by rebinding a name of its own), and came
through no proxy, which would make everybody look as if they were here. ``ops_from_loopback`` turns that off.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from starlette.requests import Request

from ingress import problems
from ingress.access import require_scope
from ingress.parts import Parts
from ingress.refusal import Refused
from waiting_room.access import Scope
from waiting_room.messages import AccessKey

_HERE: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_FROM_A_PROXY: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def require_operator(parts: Parts, request: Request) -> AccessKey | None:
    """Whose key it is; None for whoever is here. Raises Refused: 401, or 403 for a key of anybody else's."""
    if "authorization" not in request.headers and parts.settings.ops_from_loopback and _is_here(request):
        return None
    key = parts.authenticate(dict(request.scope["headers"]))
    if Scope.OPERATOR not in key.scopes:
        raise Refused(problems.FORBIDDEN, "Only an operator's key may look at this page.")
    require_scope(key, Scope.OPERATOR)
    return key


def _is_here(request: Request) -> bool:
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name not in _HERE or any(header in request.headers for header in _FROM_A_PROXY) or request.client is None:
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False
