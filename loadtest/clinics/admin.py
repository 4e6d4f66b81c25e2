"""What a bench asks and tells the simulator, beside the clinics' own dialect.

GET   /_sim/records[?clinic=ID]  JSON lines, one `Record` each
GET   /_sim/stats                {"elapsed_seconds", "cpu_seconds", "clinics": {ID: Stats}}
GET   /_sim/clinics/{ID}         the behaviour
PATCH /_sim/clinics/{ID}         replace some of it: {"down": "hang"} is an outage from now on
POST  /_sim/clinics/{ID}/phone   something is booked or cancelled there by phone: `PhoneCall`; 204, 404
GET   /healthz
"""

import time
from datetime import UTC, datetime
from urllib.parse import parse_qs

import msgspec

from loadtest.clinics.clinic import Clinic
from loadtest.clinics.dialect import answer_problem
from loadtest.clinics.phone import PhoneCall
from loadtest.httpserver import JSON_LINES, Exchange

_encoder = msgspec.json.Encoder()


def handle(exchange: Exchange, clinics: dict[str, Clinic], elapsed_seconds: float) -> None:
    match exchange.method, exchange.path:
        case b"GET", b"/healthz":
            exchange.answer(200, b'{"status":"ok"}')
        case b"GET", b"/_sim/stats":
            exchange.answer(200, _stats(clinics, elapsed_seconds))
        case b"GET", b"/_sim/records":
            wanted = parse_qs(exchange.query.decode("latin-1")).get("clinic", list(clinics))
            shown = (record for id in wanted if id in clinics for record in clinics[id].books.records())
            exchange.answer(200, _encoder.encode_lines(shown), JSON_LINES)
        case b"POST", path if path.startswith(b"/_sim/clinics/") and path.endswith(b"/phone"):
            _on_phone(exchange, clinics.get(path.split(b"/")[3].decode("latin-1")))
        case _, path if path.startswith(b"/_sim/clinics/"):
            _on_clinic(exchange, clinics.get(path.rpartition(b"/")[2].decode("latin-1")), elapsed_seconds)
        case _:
            answer_problem(exchange, 404, "unknown_path")


def _stats(clinics: dict[str, Clinic], elapsed_seconds: float) -> bytes:
    return _encoder.encode(
        {
            "elapsed_seconds": elapsed_seconds,
            "cpu_seconds": time.process_time(),
            "clinics": {id: clinic.stats(elapsed_seconds) for id, clinic in clinics.items()},
        }
    )


def _on_phone(exchange: Exchange, clinic: Clinic | None) -> None:
    if clinic is None:
        answer_problem(exchange, 404, "unknown_clinic")
        return
    try:
        call = msgspec.json.decode(exchange.body, type=PhoneCall)
    except msgspec.DecodeError as error:
        answer_problem(exchange, 422, "bad_call", str(error))
        return
    exchange.answer(204 if clinic.answer_phone(call, datetime.now(UTC)) else 404)


def _on_clinic(exchange: Exchange, clinic: Clinic | None, elapsed_seconds: float) -> None:
    if clinic is None:
        answer_problem(exchange, 404, "unknown_clinic")
        return
    if exchange.method == b"PATCH":
        try:
            changes = msgspec.json.decode(exchange.body, type=dict[str, object])
            clinic.change(clinic.behaviour.patched(changes), elapsed_seconds)
        except msgspec.DecodeError as error:
            answer_problem(exchange, 422, "bad_behaviour", str(error))
            return
    elif exchange.method != b"GET":
        answer_problem(exchange, 405, "method_not_allowed")
        return
    exchange.answer(200, _encoder.encode(clinic.behaviour))
