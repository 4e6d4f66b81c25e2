-- migrate:up

ALTER TABLE service_types
-- What a patient reads of it; no price.
ADD COLUMN description text NOT NULL DEFAULT '' CHECK (length(description) <= 2000);

ALTER TABLE providers
-- The rules its clinic has put (domain/availability/rules.py); while there are none, `hours` count.
ADD COLUMN availability jsonb,
-- Grows with each replacement: what If-Match is compared with.
ADD COLUMN availability_version integer NOT NULL DEFAULT 0 CHECK (availability_version >= 0),
-- The most seats that its clinic has taken away by its rules: bookings on them stand until the clinic moves them.
ADD COLUMN capacity_before integer NOT NULL DEFAULT 0,
ADD CHECK ((availability IS NULL) = (availability_version = 0));

ALTER TABLE clinic_counters
-- Grows whenever busy times change; whoever keeps a copy of the clinic's calendar compares it and `rules_version`.
ADD COLUMN busy_version bigint NOT NULL DEFAULT 0;

-- Days on which a business is closed, beside the public holidays that its providers keep.
CREATE TABLE business_days_off (
    business_id text NOT NULL REFERENCES businesses,
    day date NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (business_id, day)
);

-- One-off changes of a provider's hours.
CREATE TABLE availability_overrides (
    provider_id text NOT NULL REFERENCES providers,
    override_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('block', 'extend')),
    during tstzrange NOT NULL
    CHECK (NOT isempty(during) AND NOT lower_inf(during) AND NOT upper_inf(during) AND lower_inc(during)),
    slot_minutes integer CHECK (slot_minutes BETWEEN 1 AND 1440),
    PRIMARY KEY (provider_id, override_id),
    CHECK ((kind = 'extend') = (slot_minutes IS NOT NULL))
);

-- What the clinic's own system says is taken: bookings by phone, absences. No seat_claims: the clinic may be
-- overbooked by itself, and what is there says nothing about whom.
CREATE TABLE busy_times (
    clinic_id text NOT NULL,
    provider_id text NOT NULL,
    -- Who tells: each source replaces what it said before.
    source text NOT NULL,
    busy_id text NOT NULL,
    during tstzrange NOT NULL
    CHECK (NOT isempty(during) AND NOT lower_inf(during) AND NOT upper_inf(during) AND lower_inc(during)),
    -- How many of the provider's seats; null for the provider as a whole.
    seats integer CHECK (seats >= 1),
    PRIMARY KEY (provider_id, source, busy_id),
    FOREIGN KEY (clinic_id, provider_id) REFERENCES providers (clinic_id, provider_id)
);
CREATE INDEX busy_times_when ON busy_times USING gist (clinic_id, provider_id, during);

-- Addresses under which a provider's calendar is read by calendar programs; the token itself is shown once.
CREATE TABLE calendar_feeds (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    provider_id text NOT NULL REFERENCES providers,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX calendar_feeds_one_a_provider ON calendar_feeds (provider_id);

-- Each provider as the domain knows it (domain/directory.py, Provider). Overrides that are over count no more.
CREATE VIEW provider_records AS
SELECT
    p.clinic_id,
    p.provider_id,
    to_jsonb(p) - 'clinic_id' || jsonb_build_object(
        'overrides',
        coalesce((
            SELECT
                jsonb_agg(
                    jsonb_build_object(
                        'override_id', o.override_id, 'kind', o.kind, 'from', lower(o.during), 'to', upper(o.during),
                        'slot_minutes', o.slot_minutes
                    )
                    ORDER BY o.override_id
                )
            FROM availability_overrides AS o
            WHERE o.provider_id = p.provider_id AND upper(o.during) > now()
        ), '[]'),
        'days_off',
        coalesce((
            SELECT jsonb_agg(d.day ORDER BY d.day)
            FROM business_days_off AS d
            WHERE d.business_id = c.business_id AND d.day >= current_date - 1
        ), '[]')
    ) AS provider
FROM providers AS p
INNER JOIN clinics AS c ON p.clinic_id = c.clinic_id;

GRANT SELECT ON provider_records TO waiting_room_ingress, waiting_room_hold, waiting_room_audit;
GRANT SELECT ON busy_times TO waiting_room_hold;
GRANT SELECT ON business_days_off, availability_overrides, busy_times, calendar_feeds TO waiting_room_audit;

-- Clinics change their calendars through ingress: rules, overrides and busy times, nobody's booking. MAINTAIN lets it
-- lock the directory against an import that is under way; it lets nothing be changed.
GRANT SELECT ON businesses, business_days_off, clinic_moves TO waiting_room_ingress;
DO $$
BEGIN
    EXECUTE 'GRANT MAINTAIN ON clinics TO waiting_room_ingress';
END
$$;
GRANT UPDATE (availability, availability_version, capacity, capacity_before) ON providers TO waiting_room_ingress;
GRANT UPDATE (rules_version, busy_version) ON clinic_counters TO waiting_room_ingress;
GRANT SELECT, INSERT, UPDATE, DELETE ON availability_overrides, busy_times TO waiting_room_ingress;
GRANT SELECT, INSERT, UPDATE, DELETE ON calendar_feeds TO waiting_room_ingress;
GRANT SELECT, INSERT, DELETE ON directory_outbox TO waiting_room_ingress;

-- migrate:down
DROP VIEW provider_records;
DROP TABLE calendar_feeds, busy_times, availability_overrides, business_days_off;
DO $$
BEGIN
    EXECUTE 'REVOKE MAINTAIN ON clinics FROM waiting_room_ingress';
END
$$;
REVOKE UPDATE (capacity) ON providers FROM waiting_room_ingress;
REVOKE UPDATE (rules_version) ON clinic_counters FROM waiting_room_ingress;
REVOKE INSERT, DELETE ON directory_outbox FROM waiting_room_ingress;
ALTER TABLE clinic_counters DROP COLUMN busy_version;
ALTER TABLE providers DROP COLUMN availability, DROP COLUMN availability_version, DROP COLUMN capacity_before;
ALTER TABLE service_types DROP COLUMN description;
