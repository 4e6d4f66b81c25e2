-- migrate:up

ALTER TABLE appointments
-- The revision it gets when its clinic has accepted the time it is to be moved to; see reschedules.
ADD COLUMN moving_to integer,
ADD CHECK (moving_to > revision),
-- Only a booking that is wanted is moved; one that is cancelled meanwhile remembers what its clinic was asked for.
ADD CHECK (moving_to IS NULL OR status IN ('pending', 'confirmed') OR clinic_state <> 'none');

-- A confirmed booking that its clinic was asked to move.
ALTER TABLE appointments DROP CONSTRAINT appointments_check6;
ALTER TABLE appointments ADD CONSTRAINT appointments_confirmed_at_clinic
CHECK (
    status <> 'confirmed'
    OR clinic_state IN ('none', 'booked')
    OR (moving_to IS NOT NULL AND clinic_state IN ('calling', 'unknown'))
);

CREATE INDEX appointments_to_be_moved ON appointments (clinic_id, ticket) WHERE moving_to IS NOT NULL AND status = 'confirmed';

-- Every wish to move a booking, and what came of it. Its seat is claimed under its revision.
CREATE TABLE reschedules (
    clinic_id text NOT NULL,
    booking_ref text NOT NULL,
    revision integer NOT NULL CHECK (revision >= 2),
    -- Of the request: a retry is told from another wish.
    key_hash bytea NOT NULL CHECK (length(key_hash) = 32),
    provider_id text,
    seat integer,
    start_at timestamptz,
    end_at timestamptz,
    requested_at timestamptz NOT NULL,
    -- Its clinic accepts it by then, or the booking stays where it is.
    move_until timestamptz,
    ended_at timestamptz,
    "by" text NOT NULL CHECK ("by" IN ('patient', 'clinic', 'service')),
    -- Where it is it cannot stay: if it does not move it is cancelled.
    must_move boolean NOT NULL DEFAULT FALSE,
    outcome text CHECK (outcome IN ('rescheduled', 'failed', 'refused', 'dropped')),
    reason text,
    PRIMARY KEY (clinic_id, booking_ref, revision),
    UNIQUE (clinic_id, booking_ref, key_hash),
    FOREIGN KEY (clinic_id, booking_ref) REFERENCES appointments (clinic_id, booking_ref) DEFERRABLE INITIALLY DEFERRED,
    CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CHECK ((outcome IN ('failed', 'refused')) = (reason IS NOT NULL)),
    CHECK (
        outcome = 'refused'
        OR (
            provider_id IS NOT NULL
            AND seat IS NOT NULL
            AND start_at IS NOT NULL
            AND end_at IS NOT NULL
            AND move_until IS NOT NULL
        )
    )
);
CREATE UNIQUE INDEX reschedules_one_open ON reschedules (clinic_id, booking_ref) WHERE ended_at IS NULL;

ALTER TABLE call_attempts DROP CONSTRAINT call_attempts_kind_check;
ALTER TABLE call_attempts ADD CONSTRAINT call_attempts_kind_check CHECK (kind IN ('confirm', 'move', 'lookup', 'withdraw'));

GRANT SELECT, INSERT, UPDATE ON reschedules TO waiting_room_hold;
GRANT SELECT, UPDATE ON reschedules TO waiting_room_confirm, waiting_room_sweep;
GRANT SELECT ON reschedules TO waiting_room_ingress, waiting_room_audit;

-- migrate:down
DROP TABLE reschedules;
ALTER TABLE call_attempts DROP CONSTRAINT call_attempts_kind_check;
ALTER TABLE call_attempts ADD CONSTRAINT call_attempts_kind_check CHECK (kind IN ('confirm', 'lookup', 'withdraw'));
DROP INDEX appointments_to_be_moved;
ALTER TABLE appointments DROP CONSTRAINT appointments_confirmed_at_clinic;
ALTER TABLE appointments DROP COLUMN moving_to;
ALTER TABLE appointments ADD CONSTRAINT appointments_check6 CHECK (status <> 'confirmed' OR clinic_state IN ('none', 'booked'));
