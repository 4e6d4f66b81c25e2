-- ring --
-- Bookings with work at their clinic, or to be verified before, that nobody does, and that nobody was told of lately.
-- Two kinds:
-- held and at the front of the line (no more than the clinic takes at once, twice), where a lane would have them by now;
-- known to the clinic and due: a retry, a caller that died, a withdrawal not yet acknowledged, a move not yet made.
-- $1 is how long, in seconds, the first ring is trusted to be heard; $2 how many to return.
WITH front AS (
    SELECT
        h.clinic_id,
        h.booking_ref,
        h.next_attempt_at
    FROM clinic_counters AS n
    INNER JOIN clinics AS c ON n.clinic_id = c.clinic_id
    CROSS JOIN
        LATERAL ( -- noqa: ST05
            SELECT
                a.clinic_id,
                a.booking_ref,
                a.held_at,
                a.next_attempt_at
            FROM appointments AS a
            WHERE
                a.clinic_id = n.clinic_id AND a.status = 'pending' AND a.clinic_state = 'none'
                AND (a.next_attempt_at IS NULL OR a.next_attempt_at <= now())
                AND (c.adapter <> 'builtin' OR a.stage = 'verifying')
            ORDER BY a.ticket
            LIMIT 2 * c.declared_concurrency
        ) AS h
    WHERE n.line > 0 AND h.held_at < now() - make_interval(secs => $1)
),

known AS (
    SELECT
        clinic_id,
        booking_ref,
        next_attempt_at
    FROM appointments
    WHERE
        clinic_state IN ('calling', 'unknown', 'withdrawing')
        AND (
            next_attempt_at <= now()
            OR (
                next_attempt_at IS NULL
                AND (clinic_state <> 'withdrawing' OR decided_at < now() - make_interval(secs => $1))
            )
        )
),

to_be_moved AS (
    SELECT
        a.clinic_id,
        a.booking_ref,
        a.next_attempt_at
    FROM appointments AS a
    INNER JOIN reschedules AS m
        ON a.clinic_id = m.clinic_id AND a.booking_ref = m.booking_ref AND a.moving_to = m.revision
    WHERE
        a.moving_to IS NOT NULL AND a.status = 'confirmed' AND a.clinic_state = 'booked'
        AND (a.next_attempt_at IS NULL OR a.next_attempt_at <= now())
        AND m.requested_at < now() - make_interval(secs => $1)
),

unheard AS (
    SELECT
        w.clinic_id,
        w.booking_ref
    FROM (
        SELECT * FROM front
        UNION ALL
        SELECT * FROM known
        UNION ALL
        SELECT * FROM to_be_moved
    ) AS w
    LEFT JOIN rings AS r ON w.clinic_id = r.clinic_id AND w.booking_ref = r.booking_ref
    WHERE
        (r.rung_at IS NULL OR r.rung_at < now() - make_interval(secs => $1) OR r.rung_at < w.next_attempt_at)
        AND NOT EXISTS (
            SELECT t.attempt
            FROM call_attempts AS t
            WHERE
                t.clinic_id = w.clinic_id AND t.booking_ref = w.booking_ref
                AND t.ended_at IS NULL AND t.lease_until > now()
        )
    ORDER BY w.clinic_id, w.booking_ref
    LIMIT $2
),

rung AS (
    INSERT INTO rings (clinic_id, booking_ref, rung_at)
    SELECT
        u.clinic_id,
        u.booking_ref,
        now() AS rung_at
    FROM unheard AS u
    ON CONFLICT (clinic_id, booking_ref) DO UPDATE
        SET rung_at = excluded.rung_at
    RETURNING clinic_id, booking_ref
)

SELECT
    a.clinic_id,
    a.booking_ref,
    a.revision,
    a.ticket,
    a.clinic_state,
    c.partition,
    coalesce(a.held_at, a.accepted_at) AS held_at
FROM rung AS r
INNER JOIN appointments AS a ON r.clinic_id = a.clinic_id AND r.booking_ref = a.booking_ref
INNER JOIN clinics AS c ON a.clinic_id = c.clinic_id
ORDER BY a.clinic_id, a.ticket;

-- forget_rings --
DELETE FROM rings
WHERE rung_at < now() - make_interval(hours => 1);

-- expired --
-- Holds that ran out. Whether they still may be rejected is asked again under their clinics' locks.
SELECT
    a.clinic_id,
    a.booking_ref
FROM appointments AS a
WHERE
    a.status = 'pending' AND a.hold_until < now() AND a.clinic_state IN ('none', 'unknown')
    AND NOT EXISTS (
        SELECT t.attempt
        FROM call_attempts AS t
        WHERE
            t.clinic_id = a.clinic_id AND t.booking_ref = a.booking_ref
            AND t.ended_at IS NULL AND t.lease_until > now()
    )
ORDER BY a.hold_until
LIMIT $1;

-- absent --
-- Only where the clinic says who arrives: elsewhere nobody can tell who did not. Of whom is being moved nobody can, until
-- it is known where to. Whether they still have not arrived is asked again under their clinics' locks.
SELECT
    a.clinic_id,
    a.booking_ref
FROM clinics AS c
CROSS JOIN
    LATERAL ( -- noqa: ST05
        SELECT
            b.clinic_id,
            b.booking_ref,
            b.start_at
        FROM appointments AS b
        WHERE
            b.clinic_id = c.clinic_id AND b.status = 'confirmed' AND b.moving_to IS NULL
            AND b.start_at < now() - make_interval(mins => c.no_show_after_minutes)
        ORDER BY b.start_at
        LIMIT $1
    ) AS a
WHERE c.no_show_after_minutes IS NOT NULL
ORDER BY a.start_at
LIMIT $1;

-- over --
-- Appointments that ended $1 hours ago or more and of which nobody has said what became, while doses are kept for them or
-- their patients may have no other: where the clinic says who arrives, of those who did. Whether nobody has said it yet is
-- asked again under their clinics' locks.
SELECT
    a.clinic_id,
    a.booking_ref
FROM (
    SELECT
        clinic_id,
        booking_ref
    FROM dose_claims
    UNION
    SELECT
        clinic_id,
        booking_ref
    FROM dose_shortages
    UNION
    SELECT
        clinic_id,
        booking_ref
    FROM patient_claims
    WHERE only_one AND day <= current_date
) AS w
INNER JOIN appointments AS a ON w.clinic_id = a.clinic_id AND w.booking_ref = a.booking_ref
INNER JOIN clinics AS c ON a.clinic_id = c.clinic_id
WHERE
    a.end_at < now() - make_interval(hours => $1) AND a.moving_to IS NULL
    AND (a.status = 'arrived' OR (a.status = 'confirmed' AND c.no_show_after_minutes IS NULL))
ORDER BY a.end_at
LIMIT $2;

-- being_called --
SELECT
    n.clinic_id,
    n.booking_ref
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
INNER JOIN call_attempts AS t ON n.clinic_id = t.clinic_id AND n.booking_ref = t.booking_ref
WHERE t.ended_at IS NULL AND t.lease_until > clock_timestamp();
