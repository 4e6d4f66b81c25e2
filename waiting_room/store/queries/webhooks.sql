-- enlist --
-- One delivery for each committed event and active endpoint that asks for it: of the clinic and of the app. An endpoint
-- gets events from when it was made or last switched on. An event read again finds its deliveries there; one that was
-- read and is not in the database, which has been restored to before it, is not told.
INSERT INTO webhook_deliveries (endpoint_id, clinic_id, seq, booking_ref, event, committed_at)
SELECT
    e.endpoint_id,
    a.clinic_id,
    a.seq,
    a.booking_ref,
    a.event,
    a.at
FROM unnest($1::text[], $2::bigint[]) AS n (clinic_id, seq)
CROSS JOIN
    LATERAL ( -- noqa: ST05
        SELECT
            s.clinic_id,
            s.seq,
            s.booking_ref,
            s.event,
            s.at,
            s.record ->> 'app_id' AS app_id
        FROM appointment_events AS s
        WHERE s.clinic_id = n.clinic_id AND s.seq = n.seq
        LIMIT 1 -- noqa: AM09
    ) AS a
CROSS JOIN LATERAL (VALUES ('clinic', a.clinic_id), ('app', a.app_id)) AS o (kind, id)
INNER JOIN webhook_endpoints AS e ON o.kind = e.owner_kind AND o.id = e.owner_id
WHERE e.active AND a.event = any(e.events) AND e.told_from <= a.at
ORDER BY e.endpoint_id, a.clinic_id, a.seq
ON CONFLICT DO NOTHING;

-- claim --
-- Fair between endpoints: walks from one endpoint's pile to the next by the index, then takes the oldest due of each,
-- those that wait longest first, never more than the endpoint has room for. One that has not answered a test event yet
-- is sent nothing but that.
WITH RECURSIVE piles AS (
    (
        SELECT
            d.endpoint_id,
            d.next_attempt_at
        FROM webhook_deliveries AS d
        WHERE d.state = 'due'
        ORDER BY d.endpoint_id, d.next_attempt_at
        LIMIT 1
    )
    UNION ALL
    SELECT
        n.endpoint_id,
        n.next_attempt_at
    FROM piles AS p
    CROSS JOIN LATERAL (
        SELECT
            d.endpoint_id,
            d.next_attempt_at
        FROM webhook_deliveries AS d
        WHERE d.state = 'due' AND d.endpoint_id > p.endpoint_id
        ORDER BY d.endpoint_id, d.next_attempt_at
        LIMIT 1
    ) AS n
),

with_room AS MATERIALIZED (
    SELECT
        p.endpoint_id,
        e.url,
        e.payload = 'full' AS in_full,
        e.failing_since IS NOT NULL AS failing,
        coalesce(r.room, $3::integer) AS room
    FROM piles AS p
    INNER JOIN webhook_endpoints AS e ON p.endpoint_id = e.endpoint_id
    LEFT JOIN unnest($1::text[], $2::integer[]) AS r (endpoint_id, room) ON p.endpoint_id = r.endpoint_id
    WHERE
        p.next_attempt_at <= now() AND e.active AND e.verified_at IS NOT NULL AND coalesce(r.room, $3::integer) > 0
    ORDER BY p.next_attempt_at
),

taken AS MATERIALIZED (
    SELECT
        d.endpoint_id,
        d.clinic_id,
        d.seq,
        w.url,
        w.in_full,
        w.failing
    FROM with_room AS w
    CROSS JOIN
        LATERAL (
            SELECT
                t.endpoint_id,
                t.clinic_id,
                t.seq
            FROM webhook_deliveries AS t
            WHERE
                t.endpoint_id = w.endpoint_id AND t.state = 'due' AND t.next_attempt_at <= now()
                AND (t.lease_until IS NULL OR t.lease_until <= now())
            ORDER BY t.next_attempt_at
            LIMIT w.room
            FOR UPDATE SKIP LOCKED
        ) AS d
    LIMIT $4 -- noqa: AM09
),

tests AS MATERIALIZED (
    SELECT
        t.endpoint_id,
        t.clinic_id,
        t.seq,
        e.url,
        e.failing_since IS NOT NULL AS failing
    FROM webhook_deliveries AS t
    INNER JOIN webhook_endpoints AS e ON t.endpoint_id = e.endpoint_id
    LEFT JOIN unnest($1::text[], $2::integer[]) AS r (endpoint_id, room) ON t.endpoint_id = r.endpoint_id
    WHERE
        t.state = 'due' AND t.event = 'endpoint.test' AND t.next_attempt_at <= now()
        AND (t.lease_until IS NULL OR t.lease_until <= now())
        AND e.active AND e.verified_at IS NULL AND coalesce(r.room, $3::integer) > 0
    ORDER BY t.next_attempt_at
    LIMIT $4 -- noqa: AM09
    FOR UPDATE OF t SKIP LOCKED
),

claimed AS (
    UPDATE webhook_deliveries AS d
    SET lease_until = now() + make_interval(secs => $5)
    FROM (
        SELECT
            endpoint_id,
            clinic_id,
            seq,
            url,
            in_full,
            failing
        FROM taken
        UNION ALL
        SELECT
            endpoint_id,
            clinic_id,
            seq,
            url,
            FALSE AS in_full,
            failing
        FROM tests
    ) AS t
    WHERE d.endpoint_id = t.endpoint_id AND d.clinic_id = t.clinic_id AND d.seq = t.seq
    RETURNING
        d.endpoint_id,
        d.clinic_id,
        d.seq,
        d.booking_ref,
        d.event,
        d.attempts,
        d.lease_until,
        t.url,
        t.in_full,
        t.failing,
        d.payload,
        extract(EPOCH FROM clock_timestamp() - d.committed_at)::double precision AS age_seconds
)

SELECT
    c.endpoint_id,
    c.clinic_id,
    c.seq,
    c.booking_ref,
    c.event,
    c.attempts,
    c.lease_until,
    c.url,
    c.in_full,
    c.failing,
    c.payload,
    c.age_seconds,
    a.record,
    p.patient,
    p.patient_key,
    (
        SELECT count(*)
        FROM appointment_events AS b
        WHERE b.clinic_id = c.clinic_id AND b.booking_ref = c.booking_ref AND b.seq <= c.seq AND b.event = any($6::text[])
    ) AS sequence,
    array(
        SELECT s.sealed
        FROM webhook_secrets AS s
        WHERE s.endpoint_id = c.endpoint_id AND (s.expires_at IS NULL OR s.expires_at > now())
        ORDER BY s.expires_at DESC NULLS FIRST
    ) AS sealed
FROM claimed AS c
LEFT JOIN LATERAL (
    SELECT e.record
    FROM appointment_events AS e
    WHERE e.clinic_id = c.clinic_id AND e.seq = c.seq
    LIMIT 1 -- noqa: AM09
) AS a ON TRUE
LEFT JOIN LATERAL (
    SELECT
        b.patient,
        k.wrapped AS patient_key
    FROM appointments AS b
    LEFT JOIN patient_keys AS k ON b.app_id = k.app_id AND b.patient_id = k.patient_id
    WHERE c.in_full AND b.clinic_id = c.clinic_id AND b.booking_ref = c.booking_ref
    LIMIT 1 -- noqa: AM09
) AS p ON TRUE;

-- record --
-- Notes every attempt. A failure counts only for whoever holds the lease; that the endpoint said yes counts whoever
-- heard it.
WITH n AS MATERIALIZED (
    SELECT
        u.endpoint_id,
        u.clinic_id,
        u.seq,
        u.lease_until,
        u.state,
        u.failed_why,
        u.again_in_seconds,
        u.spent,
        u.started_at,
        u.seconds,
        u.url,
        u.status,
        u.error,
        u.response
    FROM
        unnest(
            $1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::text[], $6::text[], $7::double precision[],
            $8::integer[], $9::timestamptz[], $10::double precision[], $11::text[], $12::integer[], $13::text[], $14::text[]
        ) AS u (
            endpoint_id, clinic_id, seq, lease_until, state, failed_why, again_in_seconds, spent, started_at, seconds, url,
            status, error, response
        )
),

noted AS (
    INSERT INTO webhook_attempts (endpoint_id, clinic_id, seq, started_at, seconds, url, status, error, response)
    SELECT
        n.endpoint_id,
        n.clinic_id,
        n.seq,
        n.started_at,
        n.seconds,
        n.url,
        n.status,
        n.error,
        n.response
    FROM n
    ON CONFLICT DO NOTHING
)

UPDATE webhook_deliveries AS d
SET
    state = n.state,
    failed_why = n.failed_why,
    attempts = d.attempts + n.spent,
    next_attempt_at = coalesce(now() + make_interval(secs => n.again_in_seconds), d.next_attempt_at),
    lease_until = NULL,
    delivered_at = CASE WHEN n.state = 'delivered' THEN now() END,
    last_status = n.status,
    last_error = n.error
FROM n
WHERE
    d.endpoint_id = n.endpoint_id AND d.clinic_id = n.clinic_id AND d.seq = n.seq
    AND (
        (d.state = 'due' AND d.lease_until = n.lease_until)
        OR (d.state <> 'delivered' AND n.state = 'delivered')
    );

-- hand_back --
UPDATE webhook_deliveries AS d
SET lease_until = NULL
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[]) AS n (endpoint_id, clinic_id, seq, lease_until)
WHERE
    d.endpoint_id = n.endpoint_id AND d.clinic_id = n.clinic_id AND d.seq = n.seq
    AND d.state = 'due' AND d.lease_until = n.lease_until;

-- do_well --
-- They have answered 2xx: whatever they failed before is over.
UPDATE webhook_endpoints
SET failing_since = NULL
WHERE endpoint_id = any($1::text[]) AND failing_since IS NOT NULL;

-- do_fail --
UPDATE webhook_endpoints
SET failing_since = now()
WHERE endpoint_id = any($1::text[]) AND failing_since IS NULL;

-- verify --
UPDATE webhook_endpoints
SET verified_at = now()
WHERE endpoint_id = any($1::text[]) AND verified_at IS NULL;

-- switch_off_gone --
UPDATE webhook_endpoints
SET active = FALSE, disabled_at = now(), disabled_reason = 'gone'
WHERE endpoint_id = any($1::text[]) AND active
RETURNING endpoint_id;

-- switch_off_failing --
UPDATE webhook_endpoints
SET active = FALSE, disabled_at = now(), disabled_reason = 'failing'
WHERE endpoint_id = any($1::text[]) AND active AND failing_since <= now() - make_interval(secs => $2)
RETURNING endpoint_id;

-- switch_off_silent --
-- Those that have answered no test for so long, since they were made or last switched on: nothing else is sent to them,
-- so nothing else would ever show that they do not listen. Not where we have not come to ask yet.
UPDATE webhook_endpoints AS e
SET active = FALSE, disabled_at = now(), disabled_reason = 'failing'
WHERE
    e.active AND e.verified_at IS NULL AND e.told_from <= now() - make_interval(secs => $1)
    AND NOT EXISTS (
        SELECT
        FROM webhook_deliveries AS t
        WHERE t.endpoint_id = e.endpoint_id AND t.state = 'due' AND t.event = 'endpoint.test' AND t.attempts = 0
    )
RETURNING e.endpoint_id;

-- tell_others --
-- The owner's other endpoints hear of it: the one that is off cannot be told.
INSERT INTO webhook_deliveries (endpoint_id, clinic_id, seq, event, payload, committed_at)
SELECT
    o.endpoint_id,
    'endpoint' AS clinic_id,
    nextval('webhook_notices') AS seq,
    'endpoint.disabled' AS event,
    $2::jsonb AS payload,
    now() AS committed_at
FROM webhook_endpoints AS e
INNER JOIN webhook_endpoints AS o ON e.owner_kind = o.owner_kind AND e.owner_id = o.owner_id
WHERE e.endpoint_id = $1 AND o.active AND o.verified_at IS NOT NULL;

-- give_up --
-- What waits for endpoints that are switched off, some at a time.
UPDATE webhook_deliveries AS d
SET
    state = 'failed',
    failed_why = CASE w.disabled_reason WHEN 'gone' THEN 'gone' ELSE 'disabled' END,
    lease_until = NULL
FROM (
    SELECT
        t.endpoint_id,
        t.clinic_id,
        t.seq,
        e.disabled_reason
    FROM webhook_endpoints AS e
    INNER JOIN webhook_deliveries AS t ON e.endpoint_id = t.endpoint_id AND t.state = 'due'
    WHERE NOT e.active
    LIMIT $1 -- noqa: AM09
    FOR UPDATE OF t SKIP LOCKED
) AS w
WHERE d.endpoint_id = w.endpoint_id AND d.clinic_id = w.clinic_id AND d.seq = w.seq AND d.state = 'due';
