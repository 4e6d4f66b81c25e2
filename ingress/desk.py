"""Who may do what at a clinic's desk."""

from __future__ import annotations

from typing import Final

from ingress import problems
from ingress.access import require_scope
from ingress.directory import Site
from ingress.operation import STRING, Parameter
from ingress.parts import Parts
from ingress.refusal import Refused
from ingress.requests import Headers
from waiting_room.access import OwnerKind, Scope
from waiting_room.messages import AccessKey

CLINIC_ID: Final = Parameter(name="id", where="path", schema=STRING, description="The clinic.", required=True)


def desk_key(parts: Parts, headers: Headers, scope: Scope = Scope.CLINIC_WRITE) -> AccessKey:
    """Whose key it is: a clinic's or an operator's. Raises Refused."""
    key = parts.authenticate(headers)
    require_scope(key, scope)
    return key


def own_clinic(parts: Parts, key: AccessKey, clinic_id: str) -> Site:
    """Raises Refused: 403 for another clinic's key, 404."""
    if key.owner_kind == OwnerKind.CLINIC and key.owner_id != clinic_id:
        raise Refused(problems.FORBIDDEN, "A clinic's key is for its own clinic only.")
    site = parts.directory.clinic(clinic_id)
    if site is None:
        raise unknown_site()
    return site


def unknown_site(what: str = "clinic") -> Refused:
    more = {"next_step": f"Choose a {what} that /v1/clinics names."}
    return Refused(problems.NOT_FOUND, f"There is no such {what}.", more=more)
