-- enlist --
-- One delivery for each event and active endpoint that asks for it: of the clinic and of the app. An endpoint gets
-- events from its creation on. An event read again finds its deliveries there.
INSERT INTO webhook_deliveries (endpoint_id, clinic_id, seq, booking_ref, event, payload, committed_at)
SELECT
    e.endpoint_id,
    n.clinic_id,
    n.seq,
    n.booking_ref,
    n.event,
    n.payload,
    n.committed_at
FROM
    unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::jsonb[], $7::timestamptz[])
        AS n (clinic_id, app_id, seq, booking_ref, event, payload, committed_at)
CROSS JOIN LATERAL (VALUES ('clinic', n.clinic_id), ('app', n.app_id)) AS o (kind, id)
INNER JOIN webhook_endpoints AS e ON o.kind = e.owner_kind AND o.id = e.owner_id
WHERE e.active AND n.event = any(e.events) AND e.created_at <= n.committed_at
ORDER BY e.endpoint_id, n.clinic_id, n.seq
ON CONFLICT DO NOTHING;

-- claim --
-- Fair between endpoints: walks from one endpoint's pile to the next by the index, then takes the oldest due of each,
-- those that wait longest first, never more than the endpoint has room for.
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
        e.secret,
        coalesce(r.room, $3::integer) AS room
    FROM piles AS p
    INNER JOIN webhook_endpoints AS e ON p.endpoint_id = e.endpoint_id
    LEFT JOIN unnest($1::text[], $2::integer[]) AS r (endpoint_id, room) ON p.endpoint_id = r.endpoint_id
    WHERE p.next_attempt_at <= now() AND e.active AND coalesce(r.room, $3::integer) > 0
    ORDER BY p.next_attempt_at
),

taken AS MATERIALIZED (
    SELECT
        d.endpoint_id,
        d.clinic_id,
        d.seq,
        w.url,
        w.secret
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
)

UPDATE webhook_deliveries AS d
SET lease_until = now() + make_interval(secs => $5)
FROM taken AS t
WHERE d.endpoint_id = t.endpoint_id AND d.clinic_id = t.clinic_id AND d.seq = t.seq
RETURNING
    d.endpoint_id,
    d.clinic_id,
    d.seq,
    d.booking_ref,
    d.event,
    d.payload,
    d.attempts,
    d.lease_until,
    t.url,
    t.secret,
    extract(EPOCH FROM clock_timestamp() - d.committed_at)::double precision AS age_seconds;

-- record --
-- A failure counts only for whoever holds the lease; that the endpoint said yes counts whoever heard it.
UPDATE webhook_deliveries AS d
SET
    state = n.state,
    attempts = d.attempts + 1,
    next_attempt_at = coalesce(now() + make_interval(secs => n.again_in_seconds), d.next_attempt_at),
    lease_until = NULL,
    delivered_at = CASE WHEN n.state = 'delivered' THEN now() END,
    last_status = n.status,
    last_error = n.error
FROM
    unnest(
        $1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::text[], $6::double precision[], $7::integer[], $8::text[]
    ) AS n (endpoint_id, clinic_id, seq, lease_until, state, again_in_seconds, status, error)
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

-- switch_off --
UPDATE webhook_endpoints
SET active = FALSE
WHERE endpoint_id = any($1::text[]);

-- give_up_on --
-- What waits for endpoints that were switched off.
UPDATE webhook_deliveries
SET state = 'failed', last_error = 'the endpoint is gone'
WHERE endpoint_id = any($1::text[]) AND state = 'due';
