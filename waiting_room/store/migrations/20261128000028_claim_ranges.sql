-- migrate:up

-- Claims by month and, within it, by clinic: docs/storage.md says who adds months and who takes them away. The new table
-- takes the old one's name and constraints.
ALTER TABLE seat_claims RENAME TO seat_claims_before;
ALTER TABLE seat_claims_before RENAME CONSTRAINT seat_claims_pkey TO seat_claims_before_pkey;
ALTER TABLE seat_claims_before RENAME CONSTRAINT seat_claims_no_overlap TO seat_claims_before_no_overlap;

-- One row for each day (UTC) that a claim touches (waiting_room/domain/claim_days.py cuts them), so that claims that
-- overlap do so on one day, where the constraint finds them.
CREATE TABLE seat_claims (
    clinic_id text NOT NULL,
    provider_id text NOT NULL,
    seat integer NOT NULL CHECK (seat >= 0),
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    day date NOT NULL,
    booking_ref text NOT NULL,
    revision integer NOT NULL,
    -- The whole claim, where this row is not all of it.
    claimed tstzrange CHECK (claimed @> during AND claimed <> during),
    PRIMARY KEY (clinic_id, booking_ref, revision, day),
    FOREIGN KEY (clinic_id, booking_ref) REFERENCES appointments (clinic_id, booking_ref),
    CONSTRAINT seat_claims_of_day
    CHECK (during <@ tstzrange(day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC')),
    CONSTRAINT seat_claims_no_overlap EXCLUDE USING gist (
        clinic_id WITH =, provider_id WITH =, seat WITH =, during WITH &&, day WITH =
    )
) PARTITION BY RANGE (day);

-- Adds the months from that of first_day to that of last_day that are not there; how many. What is added is empty, so
-- nobody waits for it longer than for the lock on appointments that a foreign key to it takes.
CREATE FUNCTION add_claim_ranges(first_day date, last_day date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    month date := date_trunc('month', first_day)::date;
    next_month date;
    name text;
    added integer := 0;
BEGIN
    WHILE month <= last_day LOOP
        next_month := (month + interval '1 month')::date;
        name := 'seat_claims_' || to_char(month, 'YYYY_MM');
        IF to_regclass(quote_ident(name)) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE seat_claims INCLUDING ALL) PARTITION BY HASH (clinic_id)', name);
            FOR part IN 0..3 LOOP
                EXECUTE format(
                    'CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 4, REMAINDER %s)',
                    name || '_' || part, name, part
                );
            END LOOP;
            EXECUTE format(
                'ALTER TABLE seat_claims ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, month, next_month
            );
            added := added + 1;
        END IF;
        month := next_month;
    END LOOP;
    RETURN added;
END
$$;
REVOKE EXECUTE ON FUNCTION add_claim_ranges FROM public;

-- Where months go that are long past.
CREATE SCHEMA IF NOT EXISTS archive;

-- The months that are there, half-open; going: one that is being detached, or was when that was interrupted.
CREATE VIEW claim_ranges AS
SELECT
    c.relname::text AS name,
    b.bounds[1]::date AS first_day,
    b.bounds[2]::date AS until_day,
    i.inhdetachpending AS going
FROM pg_inherits AS i
INNER JOIN pg_class AS c ON i.inhrelid = c.oid
CROSS JOIN
    LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), '\(''([-\d]+)''\) TO \(''([-\d]+)''\)') AS b (bounds)
WHERE i.inhparent = 'seat_claims'::regclass;

SELECT add_claim_ranges(
    least(current_date - 40, (SELECT min(lower(during)) AT TIME ZONE 'UTC' FROM seat_claims_before)::date),
    greatest(current_date + 160, (SELECT max(upper(during)) AT TIME ZONE 'UTC' FROM seat_claims_before)::date)
);

INSERT INTO seat_claims (clinic_id, provider_id, seat, during, day, booking_ref, revision, claimed)
SELECT
    s.clinic_id,
    s.provider_id,
    s.seat,
    p.piece,
    p.day,
    s.booking_ref,
    s.revision,
    CASE WHEN p.piece <> s.during THEN s.during END AS claimed
FROM seat_claims_before AS s
CROSS JOIN
    LATERAL (
        SELECT
            d.day::date AS day,
            s.during * tstzrange(d.day AT TIME ZONE 'UTC', (d.day + interval '1 day') AT TIME ZONE 'UTC') AS piece
        FROM
            generate_series(
                date_trunc('day', lower(s.during) AT TIME ZONE 'UTC'), upper(s.during) AT TIME ZONE 'UTC', '1 day'
            ) AS d (day)
    ) AS p
WHERE NOT isempty(p.piece);

DROP TABLE seat_claims_before;

GRANT SELECT ON seat_claims TO waiting_room_ingress, waiting_room_hold, waiting_room_confirm, waiting_room_sweep,
waiting_room_notify, waiting_room_audit;
GRANT INSERT, DELETE ON seat_claims TO waiting_room_hold, waiting_room_confirm, waiting_room_sweep,
waiting_room_ingress;
GRANT SELECT ON claim_ranges TO waiting_room_ingress, waiting_room_hold, waiting_room_confirm, waiting_room_sweep,
waiting_room_notify, waiting_room_audit;

-- migrate:down
-- What is in the schema archive stays there.
DROP VIEW claim_ranges;
DROP FUNCTION add_claim_ranges;
CREATE TABLE seat_claims_before (
    clinic_id text NOT NULL,
    provider_id text NOT NULL,
    seat integer NOT NULL CHECK (seat >= 0),
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    day date NOT NULL,
    booking_ref text NOT NULL,
    revision integer NOT NULL
);
INSERT INTO seat_claims_before
SELECT
    clinic_id,
    provider_id,
    seat,
    coalesce(claimed, during) AS during,
    day,
    booking_ref,
    revision
FROM seat_claims
WHERE claimed IS NULL OR lower(claimed) = lower(during);
DROP TABLE seat_claims;
ALTER TABLE seat_claims_before RENAME TO seat_claims;
ALTER TABLE seat_claims
ADD PRIMARY KEY (clinic_id, booking_ref, revision),
ADD FOREIGN KEY (clinic_id, booking_ref) REFERENCES appointments (clinic_id, booking_ref),
ADD CONSTRAINT seat_claims_no_overlap
EXCLUDE USING gist (clinic_id WITH =, provider_id WITH =, seat WITH =, during WITH &&);
GRANT SELECT ON seat_claims TO waiting_room_ingress, waiting_room_hold, waiting_room_confirm, waiting_room_sweep,
waiting_room_notify, waiting_room_audit;
GRANT INSERT, DELETE ON seat_claims TO waiting_room_hold, waiting_room_confirm, waiting_room_sweep,
waiting_room_ingress;
