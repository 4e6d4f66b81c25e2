"""From how a clinic is reached to the gateway that reaches it."""

from __future__ import annotations

from clinic_adapter.builtin import Builtin
from clinic_adapter.gateway import Gateway
from clinic_adapter.rest import Rest
from clinic_adapter.transport import Transport
from waiting_room.domain.clinic_call import ClinicSystem
from waiting_room.domain.directory import AdapterKind


def gateway_to(system: ClinicSystem, transport: Transport) -> Gateway:
    """The gateway to this clinic. Raises ValueError if its system has no address."""
    match system.adapter:
        case AdapterKind.BUILTIN:
            return Builtin()
        case AdapterKind.REST:
            if not system.endpoint:
                raise ValueError(f"clinic {system.clinic_id} has no endpoint")
            return Rest(transport, system.endpoint)
