-- migrate:up

-- Bookings that are over, each as one document with all that was known of it, so that the tables that are written all
-- day hold what is to come and little more. A range is a month of days; old ones are detached whole (docs/archive.md).
CREATE TABLE archived_bookings (
    -- In UTC: of its start, or of its decision where it was never given one.
    day date NOT NULL,
    clinic_id text NOT NULL,
    booking_ref text NOT NULL,
    app_id text NOT NULL,
    accepted_at timestamptz NOT NULL,
    start_at timestamptz,
    -- As in appointments, erased as there. The document has nothing of a patient.
    patient_id text CHECK (patient_id ~ '^h1[.][A-Za-z0-9_-]{22}$'),
    patient bytea,
    body_hash bytea,
    patient_erased_at timestamptz,
    archived_at timestamptz NOT NULL DEFAULT now(),
    document jsonb NOT NULL,
    PRIMARY KEY (clinic_id, booking_ref, day),
    CHECK (patient_erased_at IS NULL OR (patient IS NULL AND patient_id IS NULL))
) PARTITION BY RANGE (day);
CREATE INDEX archived_bookings_of_patient ON archived_bookings (app_id, patient_id, accepted_at);
CREATE INDEX archived_bookings_of_day ON archived_bookings (clinic_id, start_at);

-- What is in ranges that are detached, so that who counts a clinic's events and tickets knows how many are elsewhere.
CREATE TABLE archived_elsewhere (
    range_name text NOT NULL,
    clinic_id text NOT NULL,
    bookings integer NOT NULL CHECK (bookings > 0),
    tickets integer NOT NULL CHECK (tickets BETWEEN 0 AND bookings),
    events integer NOT NULL CHECK (events >= bookings),
    PRIMARY KEY (range_name, clinic_id)
);

-- Where months go that are detached.
CREATE SCHEMA IF NOT EXISTS archive;

-- Makes the range of a day, if it never was there; whether it is, and not detached. It is attached, not made in place:
-- that would keep readers waiting.
CREATE FUNCTION make_archive_range(day date) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    first date := date_trunc('month', day)::date;
    name text := 'archived_bookings_' || to_char(day, 'YYYY_MM');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('waiting_room archive'));
    IF
        to_regclass(name) IS NULL
        AND to_regclass('archive.' || name) IS NULL
        AND NOT EXISTS (SELECT FROM archived_elsewhere AS w WHERE w.range_name = name)
    THEN
        EXECUTE format('CREATE TABLE %I (LIKE archived_bookings INCLUDING ALL)', name);
        EXECUTE format(
            'ALTER TABLE archived_bookings ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            name, first, (first + interval '1 month')::date
        );
    END IF;
    RETURN EXISTS (
        SELECT
        FROM pg_inherits
        WHERE inhrelid = to_regclass(name) AND inhparent = 'archived_bookings'::regclass AND NOT inhdetachpending
    );
END
$$;
REVOKE EXECUTE ON FUNCTION make_archive_range FROM public;

-- An event leaves the table for the archive, in whose document it stands as it was, or not at all.
CREATE FUNCTION refuse_loss() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM gone) <> (
        SELECT count(*)
        FROM (SELECT DISTINCT g.clinic_id, g.booking_ref FROM gone AS g) AS k
        INNER JOIN archived_bookings AS a ON k.clinic_id = a.clinic_id AND k.booking_ref = a.booking_ref
        CROSS JOIN LATERAL jsonb_array_elements(a.document -> 'events') AS e (record)
        INNER JOIN gone AS g
            ON k.clinic_id = g.clinic_id AND (e.record ->> 'seq')::bigint = g.seq AND e.record = g.record
    ) THEN
        RAISE EXCEPTION 'appointment_events is append-only: what is not archived stays';
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER appointment_events_append_only ON appointment_events;
CREATE TRIGGER appointment_events_append_only BEFORE UPDATE OR TRUNCATE ON appointment_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER appointment_events_archived AFTER DELETE ON appointment_events
REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION refuse_loss();

-- What a patient has had counts for as long as an interval asks for it, which may be longer than the booking is here.
ALTER TABLE patient_claims DROP CONSTRAINT patient_claims_clinic_id_booking_ref_fkey;
CREATE INDEX patient_claims_over ON patient_claims (day) WHERE place IS NULL AND NOT only_one;

-- Sweep archives.
GRANT SELECT, INSERT, UPDATE (patient_id, patient, body_hash, patient_erased_at) ON archived_bookings TO waiting_room_sweep;
GRANT EXECUTE ON FUNCTION make_archive_range TO waiting_room_sweep;
GRANT SELECT, INSERT ON booking_refs TO waiting_room_sweep;
GRANT DELETE ON appointments, appointment_events, reschedules, call_attempts, waitlist, offers, pass_generations
TO waiting_room_sweep;
GRANT SELECT ON waitlist, offers, pass_generations, relay_cursors TO waiting_room_sweep;
GRANT SELECT, DELETE ON notifications, webhook_deliveries TO waiting_room_sweep;
GRANT SELECT (endpoint_id, clinic_id, seq), DELETE ON webhook_attempts TO waiting_room_sweep;
GRANT SELECT (endpoint_id, owner_kind, owner_id, active, verified_at) ON webhook_endpoints TO waiting_room_sweep;

-- Who reads a booking, or erases a patient, finds it there too.
GRANT SELECT, UPDATE (patient_id, patient, body_hash, patient_erased_at) ON archived_bookings TO waiting_room_ingress;
GRANT SELECT ON archived_bookings, archived_elsewhere TO waiting_room_audit;

-- migrate:down
DO $$
BEGIN
    IF EXISTS (SELECT FROM archived_bookings) OR EXISTS (SELECT FROM archived_elsewhere) THEN
        RAISE EXCEPTION 'bookings are archived: nothing would be left of them';
    END IF;
END
$$;
REVOKE DELETE ON appointments, appointment_events, reschedules, call_attempts, waitlist, offers, pass_generations
FROM waiting_room_sweep;
REVOKE SELECT ON pass_generations, relay_cursors, notifications, webhook_deliveries FROM waiting_room_sweep;
REVOKE SELECT, INSERT ON booking_refs FROM waiting_room_sweep;
REVOKE DELETE ON notifications, webhook_deliveries, webhook_attempts FROM waiting_room_sweep;
REVOKE SELECT (endpoint_id, clinic_id, seq) ON webhook_attempts FROM waiting_room_sweep;
REVOKE SELECT (endpoint_id, owner_kind, owner_id, active, verified_at) ON webhook_endpoints FROM waiting_room_sweep;
DROP INDEX patient_claims_over;
DELETE FROM patient_claims AS p
WHERE NOT EXISTS (
    SELECT FROM appointments AS a
    WHERE a.clinic_id = p.clinic_id AND a.booking_ref = p.booking_ref
);
ALTER TABLE patient_claims ADD FOREIGN KEY (clinic_id, booking_ref) REFERENCES appointments (clinic_id, booking_ref)
ON DELETE CASCADE;
DROP TRIGGER appointment_events_archived ON appointment_events;
DROP TRIGGER appointment_events_append_only ON appointment_events;
CREATE TRIGGER appointment_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON appointment_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
DROP FUNCTION refuse_loss, make_archive_range;
DROP TABLE archived_elsewhere, archived_bookings;
