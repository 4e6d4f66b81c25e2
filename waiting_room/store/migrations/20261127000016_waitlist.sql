-- migrate:up

ALTER TABLE service_types
-- How long who waits for it may think about a seat that is offered.
ADD COLUMN offer_minutes integer NOT NULL DEFAULT 30 CHECK (offer_minutes BETWEEN 1 AND 1440),
-- A seat that comes free is told to all whom it fits, and the first to accept has it; else they are asked one by one.
ADD COLUMN offer_to_all boolean NOT NULL DEFAULT FALSE;

-- Bookings of the clinic that wait for a seat: whoever frees one knows from the locked row whether to look for them.
ALTER TABLE clinic_counters ADD COLUMN waiting integer NOT NULL DEFAULT 0 CHECK (waiting >= 0);

ALTER TABLE appointments
-- When its patient accepted the seat that had been waited for: from then on a decision is waited for.
ADD COLUMN offer_accepted_at timestamptz,
DROP CONSTRAINT appointments_status_check,
ADD CONSTRAINT appointments_status_check
CHECK (status IN ('pending', 'confirmed', 'rejected', 'cancelled', 'arrived', 'completed', 'no_show', 'waitlisted')),
DROP CONSTRAINT appointments_stage_check,
ADD CONSTRAINT appointments_stage_check
CHECK (stage IN ('accepted', 'held', 'confirming', 'waiting', 'offered', 'invited')),
DROP CONSTRAINT appointments_check1,
ADD CONSTRAINT appointments_stage_while_open CHECK ((status IN ('pending', 'waitlisted')) = (stage IS NOT NULL)),
ADD CONSTRAINT appointments_waitlisted_check CHECK (
    (status = 'waitlisted') = (stage IS NOT NULL AND stage IN ('waiting', 'offered', 'invited'))
),
ADD CONSTRAINT appointments_waiting_check CHECK (
    status <> 'waitlisted' OR (ticket IS NOT NULL AND clinic_state = 'none' AND moving_to IS NULL)
);
CREATE INDEX appointments_waiting ON appointments (clinic_id, ticket) WHERE status = 'waitlisted';

-- What those wait for, or did: a start in [from_at, to_at), at one provider or at any of the clinic.
CREATE TABLE waitlist (
    clinic_id text NOT NULL,
    booking_ref text NOT NULL,
    service_type text NOT NULL,
    provider_id text,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL CHECK (to_at > from_at),
    PRIMARY KEY (clinic_id, booking_ref),
    FOREIGN KEY (clinic_id, booking_ref) REFERENCES appointments (clinic_id, booking_ref)
);

-- Every seat that was offered, and what came of it. The seat itself is claimed as any other is, by the booking that was
-- offered it; of those who are invited together (group_id) one has the claim.
CREATE TABLE offers (
    -- "<booking_ref>.<revision>"
    offer_id text PRIMARY KEY,
    clinic_id text NOT NULL,
    booking_ref text NOT NULL,
    revision integer NOT NULL CHECK (revision >= 2),
    -- The first offer that was made of the seat at that time; its own where it was made to one alone.
    group_id text NOT NULL,
    to_all boolean NOT NULL,
    provider_id text NOT NULL,
    seat integer NOT NULL,
    start_at timestamptz NOT NULL,
    end_at timestamptz NOT NULL,
    busy_until timestamptz NOT NULL,
    made_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    outcome text CHECK (outcome IN ('accepted', 'declined', 'expired', 'lost', 'withdrawn')),
    UNIQUE (clinic_id, booking_ref, revision),
    FOREIGN KEY (clinic_id, booking_ref) REFERENCES appointments (clinic_id, booking_ref),
    CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CHECK (made_at < expires_at AND expires_at <= start_at)
);
CREATE UNIQUE INDEX offers_one_open ON offers (clinic_id, booking_ref) WHERE ended_at IS NULL;
CREATE INDEX offers_open_in_group ON offers (clinic_id, group_id) WHERE ended_at IS NULL;
CREATE INDEX offers_expiring ON offers (expires_at) WHERE ended_at IS NULL;

-- Whoever frees a seat gives it to the first who waits, so each of these claims seats and doses for others.
GRANT SELECT ON waitlist, offers TO waiting_room_hold, waiting_room_confirm, waiting_room_sweep, waiting_room_ingress,
waiting_room_audit;
GRANT INSERT ON waitlist TO waiting_room_hold;
GRANT INSERT, UPDATE (ended_at, outcome) ON offers TO waiting_room_hold, waiting_room_confirm, waiting_room_sweep,
waiting_room_ingress;
GRANT INSERT ON seat_claims TO waiting_room_confirm, waiting_room_sweep, waiting_room_ingress;
GRANT INSERT ON dose_claims TO waiting_room_confirm;
GRANT SELECT ON provider_records, busy_times TO waiting_room_confirm, waiting_room_sweep;
GRANT SELECT ON clinic_moves TO waiting_room_sweep;
-- What a message says of an offer is read when it is sent.
GRANT SELECT ON offers TO waiting_room_notify;

-- migrate:down
DROP TABLE offers, waitlist;
-- What was held for who was offered a seat.
DELETE FROM seat_claims AS s
USING appointments AS a
WHERE s.clinic_id = a.clinic_id AND s.booking_ref = a.booking_ref AND a.status = 'waitlisted';
WITH ended AS (
    DELETE FROM dose_claims AS d
    USING appointments AS a
    WHERE d.clinic_id = a.clinic_id AND d.booking_ref = a.booking_ref AND a.status = 'waitlisted'
    RETURNING d.clinic_id, d.booking_ref, d.product, d.pool, d.lot, d.doses
),

lots AS (
    UPDATE stock_lots AS l
    SET reserved = l.reserved - e.doses
    FROM (
        SELECT
            clinic_id,
            product,
            pool,
            lot,
            sum(doses) AS doses
        FROM ended
        GROUP BY clinic_id, product, pool, lot
    ) AS e
    WHERE l.clinic_id = e.clinic_id AND l.product = e.product AND l.pool = e.pool AND l.lot = e.lot
)

INSERT INTO stock_movements (clinic_id, product, pool, lot, kind, reserved, booking_ref)
SELECT
    clinic_id,
    product,
    pool,
    lot,
    'released' AS kind,
    -doses AS reserved,
    booking_ref
FROM ended;
DELETE FROM patient_claims AS p
USING appointments AS a
WHERE p.clinic_id = a.clinic_id AND p.booking_ref = a.booking_ref AND a.status = 'waitlisted';
UPDATE appointments
SET status = 'rejected', reason = 'no_free_slot', stage = NULL
WHERE status = 'waitlisted';
DROP INDEX appointments_waiting;
ALTER TABLE appointments
DROP COLUMN offer_accepted_at,
DROP CONSTRAINT appointments_waiting_check,
DROP CONSTRAINT appointments_waitlisted_check,
DROP CONSTRAINT appointments_stage_while_open,
DROP CONSTRAINT appointments_stage_check,
ADD CONSTRAINT appointments_stage_check CHECK (stage IN ('accepted', 'held', 'confirming')),
ADD CONSTRAINT appointments_check1 CHECK ((status = 'pending') = (stage IS NOT NULL)),
DROP CONSTRAINT appointments_status_check,
ADD CONSTRAINT appointments_status_check
CHECK (status IN ('pending', 'confirmed', 'rejected', 'cancelled', 'arrived', 'completed', 'no_show'));
ALTER TABLE clinic_counters DROP COLUMN waiting;
ALTER TABLE service_types DROP COLUMN offer_minutes, DROP COLUMN offer_to_all;
