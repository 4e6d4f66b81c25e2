"""Offences to plant in an audited world, each with what the audit must call it."""

from __future__ import annotations

from tests.support.audited import OTHER, REST
from tests.support.commands import book, cancel
from tests.support.planting import Plant, at_receiver, by_hold, by_sql, in_clinic_record, in_ledger
from waiting_room.audit.offences import Kind

PLANTS: list[Plant] = [
    by_sql(
        "a row and its events are gone",
        "refused",
        "DELETE FROM appointments WHERE booking_ref = {refused}; "
        "DELETE FROM appointment_events WHERE booking_ref = {refused}",
        Kind.LOST,
        Kind.SEQUENCE,
    ),
    by_sql(
        "a row is gone", "refused", "DELETE FROM appointments WHERE booking_ref = {refused}", Kind.LOST, Kind.HISTORY
    ),
    by_sql(
        "a ref leads nowhere",
        "again",
        "UPDATE booking_refs SET booking_ref = '0001-NONE' WHERE ref = {again}",
        Kind.LOST,
    ),
    in_ledger(
        "a ref was acknowledged and never appended", "refused", Kind.LOST, booking_ref="0001-NEVE-RAPP-ENDE-D000"
    ),
    by_hold(
        "a key made a booking at each of two clinics",
        "again",
        lambda world: world.commands["again"],
        Kind.DOUBLED,
        first="DELETE FROM booking_refs WHERE ref IN ({confirmed}, {again})",
    ),
    by_sql("a key was forgotten", "builtin", "DELETE FROM booking_refs WHERE ref = {builtin}", Kind.DOUBLED),
    in_ledger("a caller was given two refs for a key", "elsewhere", Kind.DOUBLED, idempotency_key="confirmed"),
    by_hold("a command that came too late was held", "late", lambda world: world.commands["late"], Kind.NOT_ASKED),
    by_hold("a booking came from nowhere", None, lambda _: book(REST, "from nowhere"), Kind.NOT_ASKED),
    by_hold("a cancel came from nowhere", None, lambda _: cancel(book(OTHER, "from nowhere")), Kind.NOT_ASKED),
    in_ledger("nothing should have come of it", "builtin", Kind.NOT_ASKED, status=503, outcome="none"),
    in_ledger("a caller was told 201 of a rejected booking", "refused", Kind.NOT_TOLD, status=201),
    in_ledger("a caller was told 409 of a confirmed booking", "builtin", Kind.NOT_TOLD, status=409),
    by_sql(
        "a row was changed past its events",
        "builtin",
        "UPDATE appointments SET row_version = 9 WHERE booking_ref = {builtin}",
        Kind.HISTORY,
    ),
    by_sql(
        "a row was decided past its events",
        "builtin",
        "UPDATE appointments SET status = 'rejected', reason = 'prov' WHERE booking_ref = {builtin}; "
        "DELETE FROM seat_claims WHERE booking_ref = {builtin}",
        Kind.HISTORY,
    ),
    by_sql(
        "an event cannot follow the one before",
        "builtin",
        "UPDATE appointment_events SET event = 'booking.withdrawn', record = jsonb_set(record::jsonb, '{{event}}', "
        "'\"booking.withdrawn\"') WHERE booking_ref = {builtin} AND event = 'booking.held'",
        Kind.WEBHOOK_MISNUMBERED,
        Kind.HISTORY,
    ),
    by_sql(
        "an event says another state than follows",
        "builtin",
        "UPDATE appointment_events SET record = jsonb_set(record::jsonb, '{{clinic_state}}', '\"booked\"') "
        "WHERE booking_ref = {builtin} AND event = 'booking.confirmed'",
        Kind.HISTORY,
    ),
    by_sql(
        "an event's record is another event's",
        "builtin",
        "UPDATE appointment_events SET event = 'booking.held' WHERE booking_ref = {builtin} AND seq = 1",
        Kind.WEBHOOK_MISNUMBERED,
        Kind.HISTORY,
        Kind.SEQUENCE,
    ),
    by_sql(
        "a row has no events",
        "never",
        "DELETE FROM appointment_events WHERE booking_ref = {never}",
        Kind.HISTORY,
        Kind.SEQUENCE,
    ),
    by_sql(
        "a clinic never said that it is confirmed",
        "builtin",
        "UPDATE clinics SET adapter = 'rest', endpoint = 'http://clinic.example' WHERE clinic_id = '0003'",
        Kind.HISTORY,
    ),
    by_sql(
        "an event has a later number",
        "builtin",
        "UPDATE appointment_events SET seq = 100, record = jsonb_set(record::jsonb, '{{seq}}', '100') "
        "WHERE booking_ref = {builtin} AND event = 'booking.held'; "
        "UPDATE clinic_counters SET last_seq = 100 WHERE clinic_id = '0003'; "
        "UPDATE relay_cursors SET published_seq = 100 WHERE clinic_id = '0003'",
        Kind.WEBHOOK_MISNUMBERED,
        Kind.SEQUENCE,
        Kind.HISTORY,
    ),
    by_sql(
        "a hold ran out and nobody noticed",
        "held",
        "UPDATE appointments SET hold_until = now() - interval '5 minutes' WHERE booking_ref = {held}",
        Kind.OVERDUE,
        resting=False,
    ),
    by_sql(
        "two tickets are the wrong way round",
        "calling",
        "UPDATE appointments a SET ticket = n.ticket FROM appointments n WHERE (a.booking_ref, n.booking_ref) IN "
        "(({unknown}, {calling}), ({calling}, {unknown})); "
        "UPDATE appointment_events e SET record = jsonb_set(e.record::jsonb, '{{ticket}}', to_jsonb(a.ticket)) "
        "FROM appointments a WHERE a.booking_ref = e.booking_ref AND e.booking_ref IN ({unknown}, {calling})",
        Kind.OUT_OF_ORDER,
    ),
    by_sql(
        "two bookings have one ticket",
        None,
        "UPDATE appointments SET ticket = 5 WHERE booking_ref = {calling}; "
        "UPDATE appointment_events SET record = jsonb_set(record::jsonb, '{{ticket}}', '5') "
        "WHERE booking_ref = {calling}",
        Kind.COUNTER,
    ),
    *(
        by_sql(
            f"{column} is one too many",
            None,
            f"UPDATE clinic_counters SET {column} = {column} + 1 WHERE clinic_id = '0001'",
            Kind.COUNTER,
            resting=False,
        )
        for column in ("last_ticket", "line", "last_seq")
    ),
    by_sql("more is published than there is", None, "UPDATE relay_cursors SET published_seq = 999", Kind.COUNTER),
    by_sql("a clinic has no counters", None, "DELETE FROM clinic_counters WHERE clinic_id = '0003'", Kind.COUNTER),
    by_sql(
        "two bookings sit on one seat",
        "beside",
        "UPDATE appointments SET seat = 0 WHERE booking_ref = {beside}; "
        "UPDATE seat_claims SET seat = 0 WHERE booking_ref = {beside}",
        Kind.SEAT_TWICE,
    ),
    by_sql("a seat was freed too early", "builtin", "DELETE FROM seat_claims", Kind.SEAT_MISSING),
    by_sql(
        "a claim is for another time",
        "builtin",
        "UPDATE seat_claims SET during = tstzrange(upper(during), upper(during) + interval '1 hour') "
        "WHERE booking_ref = {builtin}",
        Kind.SEAT_MISSING,
    ),
    by_sql(
        "a seat was not freed",
        "cancelled",
        "INSERT INTO seat_claims SELECT clinic_id, provider_id, seat, tstzrange(start_at, end_at), start_at::date, "
        "booking_ref, 1 FROM appointments WHERE booking_ref = {cancelled}",
        Kind.SEAT_KEPT,
    ),
    by_sql(
        "a seat of another revision was not freed",
        "builtin",
        "INSERT INTO seat_claims SELECT clinic_id, provider_id, seat, tstzrange(end_at, end_at + interval '1 hour'), "
        "start_at::date, booking_ref, 2 FROM appointments WHERE booking_ref = {builtin}",
        Kind.SEAT_KEPT,
    ),
    by_sql(
        "nobody claims a seat",
        None,
        "INSERT INTO seat_claims VALUES ('0003', '0003-1', 0, "
        "tstzrange(current_date + 1, current_date + 1 + interval '1 minute'), current_date + 1, '0003-NOBODY', 1)",
        Kind.SEAT_KEPT,
    ),
    by_sql(
        "a seat is claimed that the provider does not have",
        "beside",
        "UPDATE providers SET capacity = 1 WHERE provider_id = '0001-1'",
        Kind.SEAT_UNKNOWN,
    ),
    by_sql("a lot has another figure than its movements", None, "UPDATE stock_lots SET wasted = 1", Kind.STOCK_LEDGER),
    by_sql(
        "a movement has no lot",
        None,
        "INSERT INTO stock_movements (clinic_id, product, pool, lot, kind, on_hand) "
        "VALUES ('0003', 'flu', 'general', 'x', 'received', 1)",
        Kind.STOCK_LEDGER,
    ),
    by_sql(
        "more is reserved than is there",
        None,
        "ALTER TABLE stock_lots DROP CONSTRAINT stock_lots_not_oversold; UPDATE stock_lots SET on_hand = 0; "
        "INSERT INTO stock_movements (clinic_id, product, pool, lot, kind, on_hand) "
        "VALUES ('0004', 'flu', 'general', 'a', 'recounted', -1)",
        Kind.STOCK_LEDGER,
    ),
    by_sql(
        "a dose was freed too early",
        "dosed",
        "DELETE FROM dose_claims WHERE booking_ref = {dosed}",
        Kind.DOSE_MISSING,
        Kind.STOCK_LEDGER,
    ),
    by_sql("nobody knows who is short", "short", "DELETE FROM dose_shortages", Kind.DOSE_MISSING),
    by_sql(
        "a dose was not freed",
        "freed",
        "INSERT INTO dose_claims SELECT clinic_id, {freed}, product, pool, lot, 1, pool FROM stock_lots",
        Kind.DOSE_KEPT,
        Kind.STOCK_LEDGER,
    ),
    by_sql(
        "one who is not to come is still short",
        "absent",
        "UPDATE dose_shortages SET booking_ref = {absent}",
        Kind.DOSE_KEPT,
        Kind.DOSE_MISSING,
    ),
    by_sql(
        "nobody claims a dose",
        "0004-NOBODY",
        "UPDATE dose_claims SET booking_ref = '0004-NOBODY'",
        Kind.DOSE_KEPT,
        Kind.DOSE_MISSING,
        Kind.STOCK_LEDGER,
    ),
    by_sql(
        "a pending booking is not counted as its patient's",
        "held",
        "DELETE FROM patient_claims WHERE booking_ref = {held}",
        Kind.PATIENT_CLAIM,
        resting=False,
    ),
    by_sql(
        "a decided one still is",
        "freed",
        "INSERT INTO patient_claims VALUES ('0004', {freed}, 'app', 'p', 0, 'demo', 'x', now()::date, FALSE, FALSE)",
        Kind.PATIENT_CLAIM,
    ),
    in_clinic_record("the clinic does not have it", "confirmed", lambda _: [], Kind.CLINIC_MISSES),
    in_clinic_record(
        "the clinic has another", "confirmed", lambda line: [{**line, "clinic_booking_id": "x"}], Kind.CLINIC_MISSES
    ),
    in_clinic_record(
        "the clinic has another revision", "confirmed", lambda line: [{**line, "revision": 2}], Kind.CLINIC_MISSES
    ),
    in_clinic_record(
        "the clinic has taken it back",
        "confirmed",
        lambda line: [{**line, "withdrawn_at": "2026-11-23T08:00:00Z"}],
        Kind.CLINIC_MISSES,
    ),
    in_clinic_record(
        "the clinic has booked it twice", "confirmed", lambda line: [{**line, "times_accepted": 2}], Kind.CLINIC_TWICE
    ),
    in_clinic_record(
        "the clinic has both revisions", "confirmed", lambda line: [line, {**line, "revision": 2}], Kind.CLINIC_TWICE
    ),
    in_clinic_record(
        "the clinic still has it", "withdrawn", lambda line: [{**line, "withdrawn_at": None}], Kind.CLINIC_UNWANTED
    ),
    in_clinic_record(
        "the clinic has one that nobody made",
        "confirmed",
        lambda line: [line, {**line, "booking_ref": "0001-NOBO-DYSB-OOKI-NG00"}],
        Kind.CLINIC_UNWANTED,
        found="0001-NOBO-DYSB-OOKI-NG00",
    ),
    by_sql(
        "an event was passed over",
        "confirmed",
        "DELETE FROM webhook_deliveries WHERE endpoint_id = 'of-clinic' AND booking_ref = {confirmed}",
        Kind.WEBHOOK_MISSING,
        resting=False,
    ),
    by_sql(
        "an event has no delivery",
        "confirmed",
        "DELETE FROM webhook_deliveries WHERE booking_ref = {confirmed}",
        Kind.WEBHOOK_MISSING,
        Kind.WEBHOOK_UNFOUNDED,
    ),
    by_sql(
        "an event that is not public is delivered",
        None,
        "INSERT INTO webhook_deliveries "
        "(endpoint_id, clinic_id, seq, booking_ref, event, state, failed_why, committed_at) "
        "SELECT 'of-clinic', clinic_id, seq, booking_ref, event, 'failed', 'attempts', at FROM appointment_events "
        "WHERE booking_ref = {confirmed} AND event = 'booking.calling'",
        Kind.WEBHOOK_UNFOUNDED,
    ),
    by_sql(
        "a delivery still waits",
        "confirmed",
        "UPDATE webhook_deliveries SET state = 'due', delivered_at = NULL, replays = 1 WHERE booking_ref = {confirmed}",
        Kind.UNSETTLED,
    ),
    at_receiver("the receiver has not seen it", "confirmed", lambda _: [], Kind.WEBHOOK_NOT_SEEN),
    at_receiver(
        "a signature did not hold", "confirmed", lambda line: [{**line, "verified": False}], Kind.WEBHOOK_NOT_SEEN
    ),
    at_receiver(
        "a number was left out",
        "confirmed",
        lambda line: [{**line, "booking_sequence": line["booking_sequence"] + 1}],
        Kind.WEBHOOK_MISNUMBERED,
    ),
    at_receiver(
        "the receiver has seen what nobody sent",
        "confirmed",
        lambda line: [line, {**line, "endpoint_id": "of-nobody"}],
        Kind.WEBHOOK_UNFOUNDED,
    ),
]
