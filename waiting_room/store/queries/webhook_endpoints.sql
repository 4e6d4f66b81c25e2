-- create --
-- Not verified yet.
INSERT INTO webhook_endpoints (endpoint_id, owner_kind, owner_id, url, events, payload, body_hash, verified_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, NULL);

-- endpoints --
-- By id or all of an owner, with the public halves of the keys that sign for them, the newest first.
SELECT
    e.endpoint_id,
    e.owner_kind,
    e.owner_id,
    e.url,
    e.events,
    e.payload,
    e.active,
    e.body_hash,
    e.created_at,
    e.verified_at,
    e.told_from,
    e.failing_since,
    e.disabled_at,
    e.disabled_reason,
    array(
        SELECT s.public_key
        FROM webhook_secrets AS s
        WHERE s.endpoint_id = e.endpoint_id AND (s.expires_at IS NULL OR s.expires_at > now())
        ORDER BY s.expires_at DESC NULLS FIRST
    ) AS public_keys
FROM webhook_endpoints AS e
WHERE
    ($1::text IS NULL OR e.endpoint_id = $1)
    AND ($2::text IS NULL OR (e.owner_kind = $2 AND e.owner_id = $3))
ORDER BY e.created_at, e.endpoint_id;

-- lock_owner --
-- Others who make endpoints for this owner wait, so that they are counted right.
SELECT pg_advisory_xact_lock(hashtextextended('webhook owner ' || $1::text || ' ' || $2::text, 0));

-- disable --
UPDATE webhook_endpoints
SET active = FALSE, disabled_at = now(), disabled_reason = $2
WHERE endpoint_id = $1 AND active;

-- enable --
-- It is told of events from now on.
UPDATE webhook_endpoints
SET active = TRUE, disabled_at = NULL, disabled_reason = NULL, failing_since = NULL, told_from = now()
WHERE endpoint_id = $1 AND NOT active;

-- add_test --
INSERT INTO webhook_deliveries (endpoint_id, clinic_id, seq, event, payload, committed_at)
VALUES ($1, 'endpoint', nextval('webhook_notices'), 'endpoint.test', $2::jsonb, now())
RETURNING clinic_id, seq;

-- deliveries --
-- Newest first.
SELECT
    d.clinic_id,
    d.seq,
    d.booking_ref,
    d.event,
    d.state,
    d.failed_why,
    d.attempts,
    d.replays,
    d.next_attempt_at,
    d.committed_at,
    d.delivered_at,
    d.last_status,
    d.last_error
FROM webhook_deliveries AS d
WHERE
    d.endpoint_id = $1 AND ($2::text IS NULL OR d.state = $2)
    AND ($3::timestamptz IS NULL OR (d.committed_at, d.clinic_id, d.seq) < ($3, $4::text, $5::bigint))
ORDER BY d.committed_at DESC, d.clinic_id DESC, d.seq DESC
LIMIT $6;

-- delivery --
SELECT
    d.clinic_id,
    d.seq,
    d.booking_ref,
    d.event,
    d.state,
    d.failed_why,
    d.attempts,
    d.replays,
    d.next_attempt_at,
    d.committed_at,
    d.delivered_at,
    d.last_status,
    d.last_error
FROM webhook_deliveries AS d
WHERE d.endpoint_id = $1 AND d.clinic_id = $2 AND d.seq = $3;

-- is_archived --
-- Whether this event of a clinic stands in the archive: events are numbered without gaps, and nowhere else do they go. One
-- of a clinic that is not the endpoint's was never told there.
SELECT count(*) > 0 AS archived
FROM webhook_endpoints AS p
INNER JOIN clinic_counters AS c ON c.clinic_id = $2
WHERE
    p.endpoint_id = $1 AND (p.owner_kind <> 'clinic' OR p.owner_id = c.clinic_id)
    AND $3::bigint BETWEEN 1 AND c.last_seq
    AND NOT EXISTS (
        SELECT
        FROM appointment_events AS e
        WHERE e.clinic_id = c.clinic_id AND e.seq = $3
    );

-- archived_between --
-- Whether the endpoint's owner has archived bookings, accepted before $3, that may have events since $2: what is archived
-- was over, and nothing had happened to it, for $4 days.
SELECT $2::timestamptz < now() - make_interval(days => $4) AND EXISTS (
    SELECT 1 AS found
    FROM webhook_endpoints AS p
    INNER JOIN archived_bookings AS z ON p.owner_id = z.clinic_id
    WHERE p.endpoint_id = $1 AND p.owner_kind = 'clinic' AND z.accepted_at < $3
    UNION ALL
    SELECT 1 AS found
    FROM webhook_endpoints AS p
    INNER JOIN archived_bookings AS z ON p.owner_id = z.app_id
    WHERE p.endpoint_id = $1 AND p.owner_kind = 'app' AND z.accepted_at < $3
);

-- content --
-- What its body is rendered from.
SELECT
    d.payload,
    a.record,
    (
        SELECT count(*)
        FROM appointment_events AS b
        WHERE b.clinic_id = d.clinic_id AND b.booking_ref = d.booking_ref AND b.seq <= d.seq AND b.event = any($4::text[])
    ) AS sequence
FROM webhook_deliveries AS d
LEFT JOIN appointment_events AS a ON d.clinic_id = a.clinic_id AND d.seq = a.seq
WHERE d.endpoint_id = $1 AND d.clinic_id = $2 AND d.seq = $3;

-- attempts --
SELECT
    started_at,
    seconds,
    url,
    status,
    error,
    response
FROM webhook_attempts
WHERE endpoint_id = $1 AND clinic_id = $2 AND seq = $3
ORDER BY started_at;

-- replay --
-- With all its attempts before it again. One that is under way stays so.
UPDATE webhook_deliveries
SET
    state = 'due', failed_why = NULL, delivered_at = NULL, attempts = 0, next_attempt_at = now(), replays = replays + 1
WHERE endpoint_id = $1 AND clinic_id = $2 AND seq = $3;

-- replay_between --
-- Also what it was never sent, because it was off or did not exist. Oldest first, up to a bound.
WITH asked_for AS (
    SELECT
        e.endpoint_id,
        a.clinic_id,
        a.seq,
        a.booking_ref,
        a.event,
        a.at,
        NULL::jsonb AS payload
    FROM webhook_endpoints AS e
    INNER JOIN appointment_events AS a ON a.at >= $2 AND a.at < $3 AND a.event = any(e.events)
    WHERE
        e.endpoint_id = $1
        AND CASE e.owner_kind WHEN 'clinic' THEN a.clinic_id ELSE a.record ->> 'app_id' END = e.owner_id
    UNION ALL
    SELECT
        e.endpoint_id,
        'closure' AS clinic_id,
        c.number AS seq,
        NULL AS booking_ref,
        'clinic.closed' AS event,
        c.at,
        c.payload
    FROM webhook_endpoints AS e
    INNER JOIN clinic_closures AS c ON e.owner_kind = 'app' OR e.owner_id = c.clinic_id
    WHERE e.endpoint_id = $1 AND c.at >= $2 AND c.at < $3 AND 'clinic.closed' = any(e.events)
),

found AS (
    SELECT a.*
    FROM asked_for AS a
    WHERE
        (
            NOT $5::boolean
            OR EXISTS (
                SELECT 1
                FROM webhook_deliveries AS f
                WHERE f.endpoint_id = a.endpoint_id AND f.clinic_id = a.clinic_id AND f.seq = a.seq AND f.state = 'failed'
            )
        )
    ORDER BY a.at, a.clinic_id, a.seq
    LIMIT $4
),

replayed AS (
    INSERT INTO webhook_deliveries AS d (endpoint_id, clinic_id, seq, booking_ref, event, committed_at, payload)
    SELECT
        f.endpoint_id,
        f.clinic_id,
        f.seq,
        f.booking_ref,
        f.event,
        f.at,
        f.payload
    FROM found AS f
    ON CONFLICT (endpoint_id, clinic_id, seq) DO UPDATE
        SET
            state = 'due', failed_why = NULL, delivered_at = NULL, attempts = 0, next_attempt_at = now(),
            replays = d.replays + 1
    RETURNING committed_at
)

SELECT
    count(*) AS replayed,
    max(committed_at) AS last_at
FROM replayed;

-- overview --
-- For operators: every endpoint, or those of one owner, with what waits and what has failed.
SELECT
    e.endpoint_id,
    e.owner_kind,
    e.owner_id,
    e.url,
    e.active,
    e.verified_at,
    e.failing_since,
    e.disabled_reason,
    count(d.seq) FILTER (WHERE d.state = 'due') AS due,
    count(d.seq) FILTER (WHERE d.state = 'failed') AS failed
FROM webhook_endpoints AS e
LEFT JOIN webhook_deliveries AS d ON e.endpoint_id = d.endpoint_id AND d.state <> 'delivered'
GROUP BY e.endpoint_id
ORDER BY e.owner_kind, e.owner_id, e.endpoint_id;
