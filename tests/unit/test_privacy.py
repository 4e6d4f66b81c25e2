"""Health data stays out of what is published, counted and logged."""

from __future__ import annotations

import ast
from typing import get_type_hints

import msgspec
from prometheus_client import REGISTRY

from ingress.app import OPERATIONS
from tests.unit.test_layout import PROGRAMS, sources
from waiting_room.messages import Book, BookingEvent, Patient
from waiting_room.store.booking import Booking
from waiting_room.store.notifications import Begun, Planned, Settled, Subject, Told
from waiting_room.store.webhooks import Delivery
from waiting_room.telemetry import metrics

PERSONAL = {"patient", "patient_id", "contact", "locale", "email", "phone", "body", "name", "birth_date"}
LABELS = {
    *("outcome", "reason", "why", "kind", "status", "state", "topic", "group", "partition"),
    *("clinic", "role", "worker", "channel", "le", "quantile"),
}


def test_events_carry_no_patient_data() -> None:
    fields = {field.name for field in msgspec.structs.fields(BookingEvent)}
    assert not fields & (PERSONAL | {field.name for field in msgspec.structs.fields(Patient)})


def test_metrics_have_no_label_that_could_name_a_person() -> None:
    assert metrics.ACCEPT_SECONDS is not None
    ours = [metric for metric in REGISTRY.collect() if metric.name.startswith("waiting_room_")]
    assert ours
    labels = {
        label
        for name, collector in vars(metrics).items()
        if name.isupper() and hasattr(collector, "_labelnames")
        for label in collector._labelnames
    }
    assert labels <= LABELS


def test_no_address_needs_to_name_a_patient() -> None:
    named = {
        (operation.name, each.name)
        for operation in OPERATIONS
        for each in operation.parameters
        if each.where != "header" and each.name in {*PERSONAL, "patient"}
    }
    assert named == {("list", "patient"), ("problem", "name")}, (
        "search takes the first in a body, the other is no person"
    )


def test_messages_to_patients_are_stored_without_address_or_text() -> None:
    fields = {*Planned._fields, *Told._fields, *Settled._fields}
    assert not fields & {*PERSONAL, "to", "address", "text", "subject"}


def test_who_is_read_from_the_log_and_from_the_database_is_sealed_there() -> None:
    asked = {field.name: field for field in msgspec.structs.fields(Book)}
    assert asked["patient"].default is None
    assert asked["sealed"].type == bytes | None
    assert get_type_hints(Booking)["patient"] == bytes | None
    for read in (Subject, Begun, Delivery):
        fields = get_type_hints(read)
        assert fields["patient"] in (bytes, bytes | None)
        assert fields["patient_key"] == bytes | None
        assert not fields.keys() & (PERSONAL - {"patient"})


def test_ingress_appends_no_patient_but_sealed() -> None:
    made = [
        {keyword.arg for keyword in node.keywords}
        for path in sources("ingress")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Book"
    ]
    assert made
    assert all({"sealed", "intake_key"} <= given and "patient" not in given for given in made)


def test_no_log_line_is_given_patient_data() -> None:
    found = []
    lines = 0
    for path in sources(*PROGRAMS):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id in ("log", "logger")):
                continue
            lines += 1
            given = {keyword.arg for keyword in node.keywords}
            if given & PERSONAL or None in given:
                found.append(f"{path.name}:{node.lineno}: {sorted(str(name) for name in given)}")
    assert lines > 10
    assert not found
