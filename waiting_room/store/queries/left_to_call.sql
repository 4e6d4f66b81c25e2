-- lines_in --
-- Clinics of these partitions that something waits for, or that something is to be taken back from.
SELECT
    c.clinic_id,
    c.partition,
    (
        SELECT count(*) > 0
        FROM clinic_moves AS m
        WHERE m.clinic_id = c.clinic_id OR m.from_partition = c.partition
    ) AS moved
FROM clinics AS c
INNER JOIN clinic_counters AS n ON c.clinic_id = n.clinic_id
WHERE
    c.partition = any($1::integer[]) AND (c.adapter <> 'builtin' OR n.line > 0)
    AND (
        n.line > 0
        OR EXISTS (
            SELECT a.booking_ref
            FROM appointments AS a
            WHERE a.clinic_id = c.clinic_id AND a.clinic_state IN ('calling', 'unknown', 'withdrawing')
        )
        OR EXISTS (
            SELECT a.booking_ref
            FROM appointments AS a
            WHERE a.clinic_id = c.clinic_id AND a.status = 'confirmed' AND a.moving_to IS NOT NULL
        )
    )
ORDER BY c.clinic_id;

-- leased --
SELECT
    t.clinic_id,
    t.booking_ref,
    c.partition,
    t.kind = 'withdraw' AS withdrawing,
    extract(EPOCH FROM t.lease_until - now())::float8 AS seconds
FROM call_attempts AS t
INNER JOIN clinics AS c ON t.clinic_id = c.clinic_id
WHERE t.ended_at IS NULL AND t.lease_until > now() AND c.partition = any($1::integer[])
ORDER BY t.claimed_at;

-- take --
-- What a lane lines up next: withdrawals first, they free seats, then by ticket. A booking whose call is another
-- worker's is among them: it takes one of the clinic's slots.
SELECT
    a.booking_ref,
    a.clinic_state = 'withdrawing' AS withdrawing
FROM appointments AS a
WHERE
    a.clinic_id = $1
    AND (
        (a.status = 'pending' AND a.clinic_state = 'none' AND a.stage <> 'accepted')
        OR a.clinic_state IN ('calling', 'withdrawing')
        OR (a.clinic_state = 'unknown' AND a.next_attempt_at IS NOT NULL)
        OR (a.status = 'confirmed' AND a.moving_to IS NOT NULL AND a.clinic_state = 'booked')
    )
    AND (a.next_attempt_at IS NULL OR a.next_attempt_at <= now() OR a.clinic_state = 'calling')
    AND a.booking_ref <> all($2::text[])
ORDER BY (a.clinic_state = 'withdrawing') DESC, a.ticket
LIMIT $3;

-- take_later --
-- In how many seconds, $3 at the most, the next comes due of those that `take` would return if they were.
SELECT extract(EPOCH FROM min(a.next_attempt_at) - now())::float8
FROM appointments AS a
WHERE
    a.clinic_id = $1
    AND (
        (a.status = 'pending' AND a.clinic_state = 'none' AND a.stage <> 'accepted')
        OR a.clinic_state IN ('withdrawing', 'unknown')
        OR (a.status = 'confirmed' AND a.moving_to IS NOT NULL AND a.clinic_state = 'booked')
    )
    AND a.next_attempt_at > now()
    AND a.next_attempt_at <= now() + make_interval(secs => $3)
    AND a.booking_ref <> all($2::text[]);
