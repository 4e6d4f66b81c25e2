"""Offences of archiving to plant in an audited world, each with what the audit must call it."""

from __future__ import annotations

from tests.support.planting import Plant, by_sql
from waiting_room.audit.offences import Kind

PLANTS: list[Plant] = [
    by_sql(
        "a booking is archived and has not gone",
        "builtin",
        "SELECT make_archive_range(now()::date); "
        "INSERT INTO archived_bookings (day, clinic_id, booking_ref, app_id, accepted_at, document) "
        "SELECT now(), clinic_id, booking_ref, app_id, accepted_at, jsonb_build_object('appointment', to_jsonb(a), "
        "'events', jsonb_build_array()) FROM appointments AS a WHERE booking_ref = {builtin}",
        Kind.KEPT_TWICE,
    ),
]
