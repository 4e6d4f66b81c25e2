-- news --
-- Of clinics whose calendars somebody keeps copies of: what they are at, and each booking that an event since then was
-- about, with what it claims now: nothing, a seat, or two where it is being moved. More than $3 events are not told. Who
-- is told of a claim wants to know what is free from now on: no claim is longer than two days.
SELECT
    k.clinic_id,
    k.last_seq,
    k.rules_version,
    k.busy_version,
    clock_timestamp() AS now,
    k.last_seq - n.seq > $3::bigint AS too_many,
    CASE
        WHEN n.seq >= 0 AND k.last_seq > n.seq AND k.last_seq - n.seq <= $3::bigint
            THEN (
                SELECT jsonb_agg(jsonb_build_array(t.booking_ref, c.provider_id, lower(c.claimed), upper(c.claimed)))
                FROM (
                    SELECT DISTINCT e.booking_ref
                    FROM appointment_events AS e
                    WHERE e.clinic_id = k.clinic_id AND e.seq > n.seq AND e.seq <= k.last_seq
                ) AS t
                LEFT JOIN
                    LATERAL (
                        SELECT
                            s.provider_id,
                            coalesce(s.claimed, s.during) AS claimed
                        FROM seat_claims AS s
                        WHERE
                            s.clinic_id = k.clinic_id AND s.booking_ref = t.booking_ref
                            AND s.day >= (now() AT TIME ZONE 'UTC')::date - 3
                            AND (s.claimed IS NULL OR lower(s.during) = lower(s.claimed))
                        OFFSET 0 -- noqa: AM09
                    ) AS c
                    ON TRUE
            )
    END AS touched
FROM unnest($1::text[], $2::bigint[]) AS n (clinic_id, seq)
INNER JOIN clinic_counters AS k ON n.clinic_id = k.clinic_id;

-- news_of_one --
-- The same as ``news`` of one clinic, as nearly all ask: known when the plan starts, it leaves three parts of each month
-- closed, and the plan is made once.
SELECT
    k.clinic_id,
    k.last_seq,
    k.rules_version,
    k.busy_version,
    clock_timestamp() AS now,
    k.last_seq - $2::bigint > $3::bigint AS too_many,
    CASE
        WHEN $2::bigint >= 0 AND k.last_seq > $2::bigint AND k.last_seq - $2::bigint <= $3::bigint
            THEN (
                SELECT jsonb_agg(jsonb_build_array(t.booking_ref, c.provider_id, lower(c.claimed), upper(c.claimed)))
                FROM (
                    SELECT DISTINCT e.booking_ref
                    FROM appointment_events AS e
                    WHERE e.clinic_id = $1::text AND e.seq > $2::bigint AND e.seq <= k.last_seq
                ) AS t
                LEFT JOIN
                    LATERAL (
                        SELECT
                            s.provider_id,
                            coalesce(s.claimed, s.during) AS claimed
                        FROM seat_claims AS s
                        WHERE
                            s.clinic_id = $1::text AND s.booking_ref = t.booking_ref
                            AND s.day >= (now() AT TIME ZONE 'UTC')::date - 3
                            AND (s.claimed IS NULL OR lower(s.during) = lower(s.claimed))
                        OFFSET 0 -- noqa: AM09
                    ) AS c
                    ON TRUE
            )
    END AS touched
FROM clinic_counters AS k
WHERE k.clinic_id = $1::text;

-- taken --
-- Claims with whether their bookings are decided, and busy times, by the number of the window they reach into. As in
-- holds.sql, but for $7: the clinic of all windows, where it is one, so that its part alone is planned for. Bookings are
-- looked up one by one too, or all of the clinic's might be read for a few.
WITH wanted AS (
    SELECT
        n.nr,
        n.clinic_id,
        n.provider_id,
        n.from_at,
        tstzrange(n.from_at, n.to_at) AS reach
    FROM
        unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
        WITH ORDINALITY AS n (clinic_id, provider_id, from_at, to_at, nr)
)

SELECT
    n.nr,
    c.booking_ref,
    c.seat,
    NULL::integer AS seats,
    lower(c.claimed) AS start_at,
    upper(c.claimed) AS busy_until,
    a.status IN ('pending', 'waitlisted') OR c.revision <> a.revision AS tentative
FROM wanted AS n
CROSS JOIN
    LATERAL (
        SELECT
            s.booking_ref,
            s.revision,
            s.seat,
            coalesce(s.claimed, s.during) AS claimed
        FROM seat_claims AS s
        WHERE
            s.clinic_id = n.clinic_id AND s.provider_id = n.provider_id AND s.during && n.reach
            AND s.day BETWEEN $5::date AND $6::date AND ($7::text IS NULL OR s.clinic_id = $7)
            AND (s.claimed IS NULL OR lower(s.during) <= n.from_at OR lower(s.during) = lower(s.claimed))
        OFFSET 0 -- noqa: AM09
    ) AS c
CROSS JOIN
    LATERAL (
        SELECT
            b.status,
            b.revision
        FROM appointments AS b
        WHERE b.clinic_id = n.clinic_id AND b.booking_ref = c.booking_ref
        OFFSET 0 -- noqa: AM09
    ) AS a
UNION ALL
SELECT
    n.nr,
    NULL AS booking_ref,
    NULL AS seat,
    b.seats,
    lower(b.during) AS start_at,
    upper(b.during) AS busy_until,
    FALSE AS tentative
FROM wanted AS n
INNER JOIN busy_times AS b
    ON n.clinic_id = b.clinic_id AND n.provider_id = b.provider_id AND b.during && n.reach;

-- contested --
-- Of times that callers want of a provider, each under a key: what stands in their way, as (seat, seats, from, to), a
-- claim or a busy time; whether the key has a booking; and the version of the clinic's rules. What hold may put an end
-- to, because nobody relies on it any more, stands in nobody's way. $7 and $8 are the first and the last day (UTC) of all
-- times; claims in pieces as in ``taken``.
SELECT
    n.nr,
    k.rules_version,
    (
        SELECT count(*) > 0
        FROM booking_refs AS b
        WHERE b.app_id = n.app_id AND b.key_hash = n.key_hash
    ) AS known,
    (
        SELECT jsonb_agg(jsonb_build_array(t.seat, t.seats, lower(t.during), upper(t.during)))
        FROM (
            SELECT
                c.seat,
                NULL::integer AS seats,
                c.during
            FROM (
                SELECT
                    s.booking_ref,
                    s.seat,
                    coalesce(s.claimed, s.during) AS during
                FROM seat_claims AS s
                WHERE
                    s.clinic_id = n.clinic_id AND s.provider_id = n.provider_id
                    AND s.during && tstzrange(n.from_at, n.to_at) AND s.day BETWEEN $7::date AND $8::date
                    AND (s.claimed IS NULL OR lower(s.during) <= n.from_at OR lower(s.during) = lower(s.claimed))
                OFFSET 0 -- noqa: AM09
            ) AS c
            CROSS JOIN
                LATERAL (
                    SELECT
                        a.status,
                        a.hold_until
                    FROM appointments AS a
                    WHERE a.clinic_id = n.clinic_id AND a.booking_ref = c.booking_ref
                    OFFSET 0 -- noqa: AM09
                ) AS a
            WHERE a.status <> 'pending' OR a.hold_until > clock_timestamp() + interval '1 second'
            UNION ALL
            SELECT
                NULL AS seat,
                b.seats,
                b.during
            FROM busy_times AS b
            WHERE b.clinic_id = n.clinic_id AND b.provider_id = n.provider_id AND b.during && tstzrange(n.from_at, n.to_at)
        ) AS t
    ) AS taken
FROM
    unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::bytea[])
    WITH ORDINALITY AS n (clinic_id, provider_id, from_at, to_at, app_id, key_hash, nr)
INNER JOIN clinic_counters AS k ON n.clinic_id = k.clinic_id
ORDER BY n.nr;
