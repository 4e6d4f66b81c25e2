-- migrate:up

CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE businesses (
    business_id text PRIMARY KEY,
    name text NOT NULL
);

CREATE TABLE service_types (
    business_id text NOT NULL REFERENCES businesses,
    service_type text NOT NULL,
    duration_minutes integer NOT NULL CHECK (duration_minutes BETWEEN 1 AND 1440),
    buffer_minutes integer NOT NULL DEFAULT 0 CHECK (buffer_minutes BETWEEN 0 AND 1440),
    PRIMARY KEY (business_id, service_type)
);

CREATE TABLE clinics (
    clinic_id text PRIMARY KEY CHECK (clinic_id ~ '^[0-9A-HJKMNP-TV-Z]{4}$'),
    business_id text NOT NULL REFERENCES businesses,
    name text NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    timezone text NOT NULL,
    adapter text NOT NULL CHECK (adapter IN ('builtin', 'rest')),
    -- Base URL of the clinic's system; none where the platform keeps the calendar.
    endpoint text CHECK ((endpoint IS NULL) = (adapter = 'builtin')),
    declared_concurrency integer NOT NULL DEFAULT 4 CHECK (declared_concurrency >= 1),
    -- Longer than the clinic's longest processing of one call: "not there" counts only after it.
    settle_seconds double precision NOT NULL DEFAULT 30 CHECK (settle_seconds >= 0),
    honours_idempotency boolean NOT NULL DEFAULT TRUE,
    has_lookup boolean NOT NULL DEFAULT TRUE,
    wait_ceiling_seconds integer NOT NULL DEFAULT 1800 CHECK (wait_ceiling_seconds > 0),
    partition integer NOT NULL CHECK (partition >= 0),
    map_version integer NOT NULL DEFAULT 1 CHECK (map_version >= 1)
);

CREATE TABLE providers (
    provider_id text PRIMARY KEY,
    clinic_id text NOT NULL REFERENCES clinics,
    name text NOT NULL,
    capacity integer NOT NULL DEFAULT 1 CHECK (capacity BETWEEN 1 AND 1000),
    service_types text[] NOT NULL,
    -- Weekly hours: [{"weekday": 1..7, "opens": "HH:MM:SS", "closes": "HH:MM:SS", "slot_minutes": n}]
    hours jsonb NOT NULL,
    UNIQUE (clinic_id, provider_id)
);

-- One row a clinic, locked first (in ascending clinic_id) by every transaction that changes its bookings or
-- calendar. Numbers come from it, so tickets and events of a clinic have an order without gaps.
CREATE TABLE clinic_counters (
    clinic_id text PRIMARY KEY REFERENCES clinics,
    last_ticket bigint NOT NULL DEFAULT 0,
    last_seq bigint NOT NULL DEFAULT 0,
    -- Undecided bookings: kept here so that everyone who locks the row knows the line.
    line integer NOT NULL DEFAULT 0 CHECK (line >= 0),
    -- Grows whenever the clinic's calendar rules change; hold reloads its copy of them then.
    rules_version bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 50);

-- Written first in hold's transaction: the same key sent twice, even to two clinics, makes one booking.
CREATE TABLE booking_refs (
    ref text PRIMARY KEY,
    app_id text NOT NULL,
    key_hash bytea NOT NULL CHECK (length(key_hash) = 32),
    -- The booking this ref leads to: itself, or the one that its idempotency key had already made.
    booking_ref text NOT NULL
);
CREATE UNIQUE INDEX booking_refs_one_booking_a_key ON booking_refs (app_id, key_hash) WHERE ref = booking_ref;

CREATE TABLE appointments (
    -- Of a clinic that exists: every writer has locked its counter row.
    clinic_id text NOT NULL,
    booking_ref text NOT NULL,
    app_id text NOT NULL,
    ticket bigint,
    status text NOT NULL CHECK (status IN ('pending', 'confirmed', 'rejected', 'cancelled')),
    stage text CHECK (stage IN ('accepted', 'held', 'confirming')),
    clinic_state text NOT NULL DEFAULT 'none'
    CHECK (clinic_state IN ('none', 'calling', 'unknown', 'booked', 'withdrawing')),
    reason text,
    "by" text CHECK ("by" IN ('patient', 'clinic', 'service')),
    revision integer NOT NULL DEFAULT 1 CHECK (revision >= 1),
    row_version integer NOT NULL DEFAULT 1 CHECK (row_version >= 1),
    body_hash bytea,
    provider_id text,
    seat integer,
    service_type text,
    start_at timestamptz,
    end_at timestamptz,
    -- The patient's own number in the app; health data with the rest of the row.
    patient_id text,
    patient jsonb,
    accepted_at timestamptz NOT NULL,
    held_at timestamptz,
    decided_at timestamptz,
    -- A pending booking is rejected and its seat freed if its clinic has not decided by then.
    hold_until timestamptz,
    -- The next call or look-up at the clinic is not due before; sweep rings for what is due and in no lane.
    next_attempt_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    clinic_booking_id text,
    PRIMARY KEY (clinic_id, booking_ref),
    CHECK (starts_with(booking_ref, clinic_id)),
    CHECK ((status = 'pending') = (stage IS NOT NULL)),
    CHECK ((status = 'pending') = (decided_at IS NULL)),
    CHECK ((status IN ('rejected', 'cancelled')) = (reason IS NOT NULL)),
    CHECK (status NOT IN ('pending', 'confirmed') OR (provider_id IS NOT NULL AND start_at IS NOT NULL AND ticket IS NOT NULL)),
    CHECK (status <> 'pending' OR clinic_state IN ('none', 'calling', 'unknown')),
    CHECK (status <> 'confirmed' OR clinic_state IN ('none', 'booked')),
    CHECK (clinic_state <> 'withdrawing' OR status IN ('rejected', 'cancelled'))
);
CREATE INDEX appointments_line ON appointments (clinic_id, ticket) WHERE status = 'pending';
CREATE INDEX appointments_unfinished ON appointments (next_attempt_at) WHERE clinic_state IN ('calling', 'unknown', 'withdrawing')
OR status = 'pending';
CREATE INDEX appointments_of_patient ON appointments (app_id, patient_id, booking_ref);
CREATE INDEX appointments_of_day ON appointments (clinic_id, start_at);

-- A row takes capacity, its absence frees it; no two may overlap on one seat, whatever the status of their bookings.
CREATE TABLE seat_claims (
    clinic_id text NOT NULL,
    provider_id text NOT NULL,
    seat integer NOT NULL CHECK (seat >= 0),
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    day date NOT NULL,
    booking_ref text NOT NULL,
    revision integer NOT NULL,
    PRIMARY KEY (clinic_id, booking_ref, revision),
    FOREIGN KEY (clinic_id, booking_ref) REFERENCES appointments (clinic_id, booking_ref),
    CONSTRAINT seat_claims_no_overlap
    EXCLUDE USING gist (clinic_id WITH =, provider_id WITH =, seat WITH =, during WITH &&)
);

-- Every call at a clinic is claimed here before it is made.
CREATE TABLE call_attempts (
    clinic_id text NOT NULL,
    booking_ref text NOT NULL,
    attempt integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('confirm', 'lookup', 'withdraw')),
    revision integer NOT NULL,
    worker_id text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz NOT NULL,
    ended_at timestamptz,
    outcome text,
    PRIMARY KEY (clinic_id, booking_ref, attempt)
);
-- One live claim a booking: a second caller meets this index, whatever it believes.
CREATE UNIQUE INDEX call_attempts_one_open ON call_attempts (clinic_id, booking_ref) WHERE ended_at IS NULL;

-- Append-only; also the outbox. State can be rebuilt from it; no patient data.
CREATE TABLE appointment_events (
    clinic_id text NOT NULL,
    seq bigint NOT NULL,
    booking_ref text NOT NULL,
    event text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The record that is published, as it is published.
    record jsonb NOT NULL,
    PRIMARY KEY (clinic_id, seq)
);
CREATE INDEX appointment_events_of_booking ON appointment_events (clinic_id, booking_ref, seq);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'appointment_events is append-only';
END
$$;
CREATE TRIGGER appointment_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON appointment_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- How far relay has published each clinic's events.
CREATE TABLE relay_cursors (
    clinic_id text PRIMARY KEY REFERENCES clinics,
    published_seq bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- What hold has stored of each partition, written with it; after a restore the lower of this and Kafka's counts.
CREATE TABLE consumed_offsets (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- migrate:down
DROP TABLE consumed_offsets, relay_cursors, appointment_events, call_attempts, seat_claims, appointments,
booking_refs, clinic_counters, providers, clinics, service_types, businesses;
DROP FUNCTION refuse_change;
