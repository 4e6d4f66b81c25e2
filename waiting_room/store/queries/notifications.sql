-- subjects --
-- What is to be known of bookings to plan what their patients are told.
SELECT
    a.clinic_id,
    a.booking_ref,
    a.status,
    a.revision,
    a.start_at,
    a.patient,
    k.wrapped AS patient_key,
    c.timezone,
    l.leads,
    array(
        SELECT u.channel
        FROM unsubscribed AS u
        WHERE u.app_id = a.app_id AND u.patient_id = a.patient_id
    ) AS unsubscribed
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
INNER JOIN appointments AS a ON n.clinic_id = a.clinic_id AND n.booking_ref = a.booking_ref
INNER JOIN clinics AS c ON a.clinic_id = c.clinic_id
LEFT JOIN patient_keys AS k ON a.app_id = k.app_id AND a.patient_id = k.patient_id
LEFT JOIN reminder_leads AS l ON c.business_id = l.business_id AND a.service_type = l.service_type
WHERE a.patient IS NOT NULL;

-- other_clinics --
-- Open ones of the same business where this service is to be had, those with the shortest lines.
SELECT
    o.clinic_id,
    o.name
FROM clinics AS c
INNER JOIN clinics AS o ON c.business_id = o.business_id AND c.clinic_id <> o.clinic_id AND o.status = 'open'
INNER JOIN clinic_counters AS n ON o.clinic_id = n.clinic_id
WHERE
    c.clinic_id = $1
    AND EXISTS (
        SELECT
        FROM providers AS p
        WHERE p.clinic_id = o.clinic_id AND $2 = any(p.service_types)
    )
ORDER BY n.line, o.clinic_id
LIMIT $3;

-- enlist --
-- Each message once, by whichever channel it was planned for first: an event read again adds nothing.
INSERT INTO notifications (clinic_id, booking_ref, revision, kind, channel, due_at, next_attempt_at)
SELECT
    n.clinic_id,
    n.booking_ref,
    n.revision,
    n.kind,
    n.channel,
    n.due_at,
    n.due_at AS next_attempt_at
FROM
    unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::timestamptz[])
        AS n (clinic_id, booking_ref, revision, kind, channel, due_at)
WHERE
    NOT EXISTS (
        SELECT
        FROM notifications AS o
        WHERE
            o.clinic_id = n.clinic_id AND o.booking_ref = n.booking_ref
            AND o.revision = n.revision AND o.kind = n.kind
    )
ON CONFLICT DO NOTHING;

-- drop_overtaken --
-- Reminders of what is no longer to be: the booking was given up or moved. What is being sent was read before that.
UPDATE notifications AS m
SET state = 'dropped', ended_at = now(), last_error = 'overtaken', sender_id = NULL
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
INNER JOIN appointments AS a ON n.clinic_id = a.clinic_id AND n.booking_ref = a.booking_ref
WHERE
    m.clinic_id = a.clinic_id AND m.booking_ref = a.booking_ref
    AND m.state = 'due' AND m.lease_until IS NULL AND starts_with(m.kind, 'reminder-')
    AND (m.revision < a.revision OR a.status <> 'confirmed');

-- be_seen --
INSERT INTO notification_senders AS s (sender_id, seen_at)
VALUES ($1, now())
ON CONFLICT (sender_id) DO UPDATE
    SET seen_at = excluded.seen_at
RETURNING clock_timestamp() AS now;

-- forget_senders --
DELETE FROM notification_senders
WHERE seen_at < now() - interval '1 hour';

-- forget_ended --
DELETE FROM notifications
WHERE ctid = any(
    array(
        SELECT n.ctid
        FROM notifications AS n
        WHERE n.ended_at < now() - make_interval(days => $1)
        ORDER BY n.ended_at
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    )
);

-- claim --
-- Takes in hand what is due within the horizon, the earliest first, and what other senders are just taking is passed
-- over. What is in the hands of a sender that lives, or is being sent, is not free.
WITH free AS MATERIALIZED (
    SELECT
        n.clinic_id,
        n.booking_ref,
        n.revision,
        n.kind,
        n.channel
    FROM notifications AS n
    WHERE
        n.state = 'due' AND n.next_attempt_at <= now() + make_interval(secs => $2)
        AND (n.lease_until IS NULL OR n.lease_until <= now())
        AND (
            n.sender_id IS NULL
            OR NOT EXISTS (
                SELECT
                FROM notification_senders AS s
                WHERE s.sender_id = n.sender_id AND s.seen_at > now() - make_interval(secs => $4)
            )
        )
    ORDER BY n.next_attempt_at
    LIMIT $3
    FOR UPDATE OF n SKIP LOCKED
)

UPDATE notifications AS n
SET sender_id = $1, lease_until = NULL
FROM free AS f
WHERE
    n.clinic_id = f.clinic_id AND n.booking_ref = f.booking_ref AND n.revision = f.revision
    AND n.kind = f.kind AND n.channel = f.channel
RETURNING
    n.clinic_id,
    n.booking_ref,
    n.revision,
    n.kind,
    n.channel,
    n.next_attempt_at;

-- begin --
-- Now they are due: still ours, still to be sent, and the booking as it is at this moment.
WITH ours AS MATERIALIZED (
    SELECT n.*
    FROM
        unnest($2::text[], $3::text[], $4::integer[], $5::text[], $6::text[])
            AS k (clinic_id, booking_ref, revision, kind, channel)
    INNER JOIN notifications AS n
        ON
            k.clinic_id = n.clinic_id AND k.booking_ref = n.booking_ref AND k.revision = n.revision
            AND k.kind = n.kind AND k.channel = n.channel
    WHERE n.sender_id = $1 AND n.state = 'due' AND n.lease_until IS NULL AND n.next_attempt_at <= clock_timestamp()
    FOR UPDATE OF n SKIP LOCKED
),

begun AS (
    UPDATE notifications AS n
    SET lease_until = now() + make_interval(secs => $7)
    FROM ours AS o
    WHERE
        n.clinic_id = o.clinic_id AND n.booking_ref = o.booking_ref AND n.revision = o.revision
        AND n.kind = o.kind AND n.channel = o.channel
    RETURNING n.*
)

SELECT
    b.clinic_id,
    b.booking_ref,
    b.revision,
    b.kind,
    b.channel,
    b.due_at,
    b.attempts,
    b.lease_until,
    a.status,
    a.revision AS revision_now,
    a."by",
    a.provider_id,
    a.service_type,
    a.start_at,
    a.end_at,
    a.patient,
    k.wrapped AS patient_key,
    c.name AS clinic_name,
    c.timezone,
    p.name AS provider_name,
    o.offer_id,
    o.expires_at AS offer_expires_at,
    coalesce(o.to_all, FALSE) AS offer_to_all,
    o.offer_id IS NOT NULL AND (o.ended_at IS NOT NULL OR o.expires_at <= clock_timestamp()) AS offer_over,
    array(
        SELECT u.channel
        FROM unsubscribed AS u
        WHERE u.app_id = a.app_id AND u.patient_id = a.patient_id
    ) AS unsubscribed,
    -- Why a booking was not moved its event says: it keeps the reason that it has.
    CASE
        WHEN NOT starts_with(b.kind, 'not_moved-') THEN a.reason
        ELSE (
            SELECT e.record ->> 'reason'
            FROM appointment_events AS e
            WHERE e.clinic_id = b.clinic_id AND e.seq = split_part(b.kind, '-', 2)::bigint
        )
    END AS reason,
    coalesce(g.generation, 0) AS pass_generation,
    extract(EPOCH FROM clock_timestamp() - b.due_at)::double precision AS late_seconds,
    a.start_at IS NOT NULL AND a.start_at <= clock_timestamp() AS has_begun
FROM begun AS b
INNER JOIN appointments AS a ON b.clinic_id = a.clinic_id AND b.booking_ref = a.booking_ref
INNER JOIN clinics AS c ON b.clinic_id = c.clinic_id
LEFT JOIN patient_keys AS k ON a.app_id = k.app_id AND a.patient_id = k.patient_id
LEFT JOIN providers AS p ON a.provider_id = p.provider_id
LEFT JOIN pass_generations AS g ON a.clinic_id = g.clinic_id AND a.booking_ref = g.booking_ref
LEFT JOIN offers AS o
    ON b.kind = 'offered' AND b.clinic_id = o.clinic_id AND b.booking_ref = o.booking_ref AND b.revision = o.revision;

-- record --
-- A failure counts only for whoever holds the lease; that the gateway took it counts whoever heard it.
WITH ended AS (
    UPDATE notifications AS n
    SET
        state = o.state,
        attempts = n.attempts + o.tried::integer,
        next_attempt_at = coalesce(now() + make_interval(secs => o.again_in_seconds), n.next_attempt_at),
        sender_id = NULL,
        lease_until = NULL,
        ended_at = CASE WHEN o.state <> 'due' THEN now() END,
        last_error = o.error
    FROM
        unnest(
            $1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::boolean[],
            $9::double precision[], $10::text[], $11::text[], $12::double precision[]
        ) AS o (
            clinic_id, booking_ref, revision, kind, channel, lease_until, state, tried, again_in_seconds, error,
            next_channel, next_in_seconds
        )
    WHERE
        n.clinic_id = o.clinic_id AND n.booking_ref = o.booking_ref AND n.revision = o.revision
        AND n.kind = o.kind AND n.channel = o.channel
        AND ((n.state = 'due' AND n.lease_until = o.lease_until) OR (n.state <> 'sent' AND o.state = 'sent'))
    RETURNING n.clinic_id, n.booking_ref, n.revision, n.kind, n.due_at, o.next_channel, o.next_in_seconds
)

INSERT INTO notifications (clinic_id, booking_ref, revision, kind, channel, due_at, next_attempt_at)
SELECT
    e.clinic_id,
    e.booking_ref,
    e.revision,
    e.kind,
    e.next_channel,
    e.due_at,
    now() + make_interval(secs => e.next_in_seconds) AS next_attempt_at
FROM ended AS e
WHERE e.next_channel IS NOT NULL
ON CONFLICT DO NOTHING;

-- let_go --
-- What this sender has in hand and is not sending; it lies within the horizon and a little.
UPDATE notifications
SET sender_id = NULL
WHERE sender_id = $1 AND state = 'due' AND lease_until IS NULL AND next_attempt_at <= now() + make_interval(secs => $2);

-- let_go_of --
UPDATE notifications AS n
SET sender_id = NULL
FROM
    unnest($2::text[], $3::text[], $4::integer[], $5::text[], $6::text[])
        AS k (clinic_id, booking_ref, revision, kind, channel)
WHERE
    n.clinic_id = k.clinic_id AND n.booking_ref = k.booking_ref AND n.revision = k.revision
    AND n.kind = k.kind AND n.channel = k.channel AND n.sender_id = $1 AND n.lease_until IS NULL;

-- not_sent --
-- Of what is being sent, what was not sent after all.
UPDATE notifications AS n
SET sender_id = NULL, lease_until = NULL
FROM
    unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::timestamptz[])
        AS o (clinic_id, booking_ref, revision, kind, channel, lease_until)
WHERE
    n.clinic_id = o.clinic_id AND n.booking_ref = o.booking_ref AND n.revision = o.revision
    AND n.kind = o.kind AND n.channel = o.channel AND n.state = 'due' AND n.lease_until = o.lease_until;

-- of_booking --
SELECT
    revision,
    kind,
    channel,
    state,
    due_at,
    attempts,
    ended_at,
    last_error
FROM notifications
WHERE clinic_id = $1 AND booking_ref = $2
ORDER BY due_at, kind, ended_at, channel;

-- failed --
SELECT
    clinic_id,
    booking_ref,
    revision,
    kind,
    channel,
    ended_at,
    attempts,
    last_error
FROM notifications
WHERE state = 'failed' AND ended_at > now() - $1::interval
ORDER BY ended_at DESC;

-- retry_failed --
-- Not what another channel has sent meanwhile, or is about to.
UPDATE notifications AS n
SET state = 'due', ended_at = NULL, attempts = 0, next_attempt_at = now(), sender_id = NULL, lease_until = NULL
WHERE
    n.state = 'failed' AND n.ended_at > now() - $1::interval
    AND NOT EXISTS (
        SELECT
        FROM notifications AS o
        WHERE
            o.clinic_id = n.clinic_id AND o.booking_ref = n.booking_ref AND o.revision = n.revision
            AND o.kind = n.kind AND (o.state IN ('due', 'sent') OR (o.state = 'failed' AND o.ended_at > n.ended_at))
    );
