-- load_clinics --
SELECT
    c.clinic_id,
    c.status,
    c.timezone,
    c.adapter,
    c.partition,
    c.business_id,
    b.cancel_notice_minutes,
    n.rules_version,
    now() + interval '1 day' AS good_until,
    -- A claim that starts before then ends before the last month does.
    (
        SELECT coalesce((max(r.until_day) - 3)::timestamp AT TIME ZONE 'UTC', now())
        FROM claim_ranges AS r
        WHERE NOT r.going
    ) AS bookable_until,
    (
        SELECT m.to_partition
        FROM clinic_moves AS m
        WHERE m.clinic_id = c.clinic_id AND m.marker_read_at IS NULL
    ) AS moving_to,
    (
        SELECT jsonb_agg(to_jsonb(s) - 'business_id' ORDER BY s.service_type)
        FROM service_types AS s
        WHERE s.business_id = c.business_id
    ) AS service_types,
    (
        SELECT jsonb_agg(p.provider ORDER BY p.provider_id)
        FROM provider_records AS p
        WHERE p.clinic_id = c.clinic_id
    ) AS providers
FROM clinics AS c
INNER JOIN clinic_counters AS n ON c.clinic_id = n.clinic_id
INNER JOIN businesses AS b ON c.business_id = b.business_id
WHERE c.clinic_id = any($1::text[]);

-- claim_refs --
-- Written first. A ref that does not come back is known already, or its key has made a booking elsewhere; an open
-- transaction that is just writing the same key is waited for. Sorted, so that two batches never wait in a circle; of
-- two refs of one key the first in the batch is the booking's.
INSERT INTO booking_refs (ref, app_id, key_hash, booking_ref)
SELECT
    n.ref,
    n.app_id,
    n.key_hash,
    n.ref AS booking_ref
FROM unnest($1::text[], $2::text[], $3::bytea[]) WITH ORDINALITY AS n (ref, app_id, key_hash, nr)
ORDER BY n.app_id, n.key_hash, n.nr
ON CONFLICT DO NOTHING
RETURNING ref;

-- find_refs --
-- What the keys of these refs have booked, whichever ref they did it under.
SELECT
    n.ref,
    b.booking_ref
FROM unnest($1::text[], $2::text[], $3::bytea[]) AS n (ref, app_id, key_hash)
INNER JOIN booking_refs AS b ON n.app_id = b.app_id AND n.key_hash = b.key_hash AND b.ref = b.booking_ref;

-- add_aliases --
INSERT INTO booking_refs (ref, app_id, key_hash, booking_ref)
SELECT
    n.ref,
    n.app_id,
    n.key_hash,
    n.booking_ref
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[]) AS n (ref, app_id, key_hash, booking_ref)
ON CONFLICT DO NOTHING;

-- leads_to --
SELECT
    ref,
    booking_ref
FROM booking_refs
WHERE ref = any($1::text[]);

-- taken --
-- Claims, each of one seat, and busy times, each of so many seats, or of all where their number is null. $5 and $6 are
-- the first and the last day (UTC) of all windows: months without any are left out before anything is looked up. OFFSET 0
-- has each window looked up by itself, in its clinic's part: of a plan made for any parameters PostgreSQL believes that
-- so few claims lie between two days that it would rather read all of them. A claim in pieces is told once, whole: by
-- the first piece in the window.
WITH wanted AS (
    SELECT
        n.clinic_id,
        n.provider_id,
        n.from_at,
        tstzrange(n.from_at, n.to_at) AS reach
    FROM
        unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
            AS n (clinic_id, provider_id, from_at, to_at)
)

SELECT
    n.provider_id,
    c.seat,
    NULL::integer AS seats,
    lower(c.claimed) AS start_at,
    upper(c.claimed) AS busy_until
FROM wanted AS n
CROSS JOIN
    LATERAL (
        SELECT
            s.seat,
            coalesce(s.claimed, s.during) AS claimed
        FROM seat_claims AS s
        WHERE
            s.clinic_id = n.clinic_id AND s.provider_id = n.provider_id AND s.during && n.reach
            AND s.day BETWEEN $5::date AND $6::date
            AND (s.claimed IS NULL OR lower(s.during) <= n.from_at OR lower(s.during) = lower(s.claimed))
        OFFSET 0 -- noqa: AM09
    ) AS c
UNION ALL
SELECT
    b.provider_id,
    NULL AS seat,
    b.seats,
    lower(b.during) AS start_at,
    upper(b.during) AS busy_until
FROM wanted AS n
INNER JOIN busy_times AS b
    ON n.clinic_id = b.clinic_id AND n.provider_id = b.provider_id AND b.during && n.reach;

-- dead_holds --
-- Pending past their time and unknown to their clinic: nobody relies on their seats.
SELECT
    clinic_id,
    booking_ref
FROM appointments
WHERE clinic_id = any($1::text[]) AND status = 'pending' AND clinic_state = 'none' AND hold_until < $2
ORDER BY hold_until
LIMIT 500;

-- claims_ahead --
-- Claims that still take something, by clinic.
SELECT
    s.clinic_id,
    count(*) AS claims,
    now() AS now
FROM seat_claims AS s
WHERE
    s.clinic_id = any($1::text[]) AND s.day >= (now() AT TIME ZONE 'UTC')::date AND lower(s.during) >= now()
    AND (s.claimed IS NULL OR lower(s.during) = lower(s.claimed))
GROUP BY s.clinic_id
UNION ALL
SELECT
    NULL AS clinic_id,
    0 AS claims,
    now() AS now;

-- consumed --
SELECT
    partition,
    next_offset
FROM consumed_offsets
WHERE topic = $1 AND partition = any($2::integer[]);

-- save_consumed --
INSERT INTO consumed_offsets AS c (topic, partition, next_offset)
SELECT
    $1::text AS topic,
    n.partition,
    n.next_offset
FROM unnest($2::integer[], $3::bigint[]) AS n (partition, next_offset)
ORDER BY n.partition
ON CONFLICT (
    topic, partition) DO UPDATE SET next_offset = excluded.next_offset
WHERE c.next_offset < excluded.next_offset;
