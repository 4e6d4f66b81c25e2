-- clinics --
SELECT clinic_id
FROM clinics
ORDER BY clinic_id;

-- before --
SELECT now() - make_interval(days => $1);

-- placed --
-- A clinic's bookings that began before $2, the next $5 after (start_at, booking_ref), or the first. Whether they are over
-- is asked under their clinic's lock.
SELECT
    booking_ref,
    start_at AS at
FROM appointments
WHERE
    clinic_id = $1 AND start_at < $2 AND start_at >= coalesce($3::timestamptz, '-infinity')
    AND ($3 IS NULL OR (start_at, booking_ref) > ($3, $4::text))
ORDER BY start_at, booking_ref
LIMIT $5;

-- unplaced --
-- Those that were never given a time and were decided before $2, the next $4 after booking_ref.
SELECT
    booking_ref,
    decided_at AS at
FROM appointments
WHERE clinic_id = $1 AND start_at IS NULL AND decided_at < $2 AND booking_ref > $3
ORDER BY booking_ref
LIMIT $4;

-- make_range --
SELECT make_archive_range($1);

-- copy --
-- Called with the clinic's counter row locked: what it reads does not change. Of these bookings, each that was over before
-- $3, to which nothing has happened since, and for which nobody has anything left to do; with all that is known of it.
-- A confirmed one is over when its time is, but where the clinic says who arrives: there somebody is absent, or was seen.
INSERT INTO archived_bookings (
    day, clinic_id, booking_ref, app_id, accepted_at, start_at, patient_id, patient, body_hash, patient_erased_at, document
)
SELECT
    (coalesce(a.start_at, a.decided_at) AT TIME ZONE 'UTC')::date AS day,
    a.clinic_id,
    a.booking_ref,
    a.app_id,
    a.accepted_at,
    a.start_at,
    a.patient_id,
    a.patient,
    a.body_hash,
    a.patient_erased_at,
    jsonb_build_object(
        'appointment', to_jsonb(a) - '{patient_id,patient,body_hash,patient_erased_at}'::text[],
        'events', (
            SELECT jsonb_agg(e.record ORDER BY e.seq)
            FROM appointment_events AS e
            WHERE e.clinic_id = a.clinic_id AND e.booking_ref = a.booking_ref
        ),
        'seat_claims', (
            SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.revision), '[]')
            FROM seat_claims AS s
            WHERE s.clinic_id = a.clinic_id AND s.booking_ref = a.booking_ref
        ),
        'reschedules', (
            SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.revision), '[]')
            FROM reschedules AS m
            WHERE m.clinic_id = a.clinic_id AND m.booking_ref = a.booking_ref
        ),
        'call_attempts', (
            SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.attempt), '[]')
            FROM call_attempts AS t
            WHERE t.clinic_id = a.clinic_id AND t.booking_ref = a.booking_ref
        ),
        'waitlist', (
            SELECT coalesce(jsonb_agg(to_jsonb(w)), '[]')
            FROM waitlist AS w
            WHERE w.clinic_id = a.clinic_id AND w.booking_ref = a.booking_ref
        ),
        'offers', (
            SELECT coalesce(jsonb_agg(to_jsonb(o) ORDER BY o.revision), '[]')
            FROM offers AS o
            WHERE o.clinic_id = a.clinic_id AND o.booking_ref = a.booking_ref
        ),
        'notifications', (
            SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.due_at, m.kind, m.ended_at, m.channel), '[]')
            FROM notifications AS m
            WHERE m.clinic_id = a.clinic_id AND m.booking_ref = a.booking_ref
        ),
        'webhook_deliveries', (
            SELECT coalesce(jsonb_agg(to_jsonb(d) ORDER BY d.seq, d.endpoint_id), '[]')
            FROM webhook_endpoints AS p
            INNER JOIN appointment_events AS e ON e.clinic_id = a.clinic_id AND e.booking_ref = a.booking_ref
            INNER JOIN webhook_deliveries AS d
                ON p.endpoint_id = d.endpoint_id AND e.clinic_id = d.clinic_id AND e.seq = d.seq
            WHERE
                (p.owner_kind = 'clinic' AND p.owner_id = a.clinic_id)
                OR (p.owner_kind = 'app' AND p.owner_id = a.app_id)
        )
    ) AS document
FROM unnest($2::text[]) AS n (booking_ref)
INNER JOIN appointments AS a ON a.clinic_id = $1 AND n.booking_ref = a.booking_ref
INNER JOIN clinics AS c ON a.clinic_id = c.clinic_id
INNER JOIN relay_cursors AS r ON a.clinic_id = r.clinic_id
CROSS JOIN
    LATERAL (
        SELECT
            e.seq,
            e.at
        FROM appointment_events AS e
        WHERE e.clinic_id = a.clinic_id AND e.booking_ref = a.booking_ref
        ORDER BY e.seq DESC
        LIMIT 1
    ) AS newest
WHERE
    (
        a.status IN ('rejected', 'cancelled', 'completed', 'no_show', 'arrived')
        OR (a.status = 'confirmed' AND c.no_show_after_minutes IS NULL)
    )
    AND coalesce(a.end_at, a.start_at, a.decided_at) < $3 AND a.decided_at < $3
    AND a.clinic_state IN ('none', 'booked') AND a.moving_to IS NULL
    AND newest.at < $3 AND newest.seq <= r.published_seq
    AND (a.patient_id IS NULL OR a.patient_id ~ '^h1[.][A-Za-z0-9_-]{22}$')
    AND NOT EXISTS (
        SELECT
        FROM call_attempts AS t
        WHERE t.clinic_id = a.clinic_id AND t.booking_ref = a.booking_ref AND t.ended_at IS NULL
    )
    AND NOT EXISTS (
        SELECT
        FROM reschedules AS m
        WHERE m.clinic_id = a.clinic_id AND m.booking_ref = a.booking_ref AND m.ended_at IS NULL
    )
    AND NOT EXISTS (
        SELECT
        FROM offers AS o
        WHERE o.clinic_id = a.clinic_id AND o.booking_ref = a.booking_ref AND o.ended_at IS NULL
    )
    AND NOT EXISTS (
        SELECT
        FROM dose_claims AS d
        WHERE d.clinic_id = a.clinic_id AND d.booking_ref = a.booking_ref
    )
    AND NOT EXISTS (
        SELECT
        FROM dose_shortages AS d
        WHERE d.clinic_id = a.clinic_id AND d.booking_ref = a.booking_ref
    )
    AND NOT EXISTS (
        SELECT
        FROM patient_claims AS p
        WHERE
            p.clinic_id = a.clinic_id AND p.booking_ref = a.booking_ref AND (p.place IS NOT NULL OR p.only_one)
    )
    AND NOT EXISTS (
        SELECT
        FROM notifications AS m
        WHERE m.clinic_id = a.clinic_id AND m.booking_ref = a.booking_ref AND m.state = 'due'
    )
    AND NOT EXISTS (
        SELECT
        FROM webhook_endpoints AS p
        INNER JOIN appointment_events AS e ON e.clinic_id = a.clinic_id AND e.booking_ref = a.booking_ref
        INNER JOIN webhook_deliveries AS d
            ON p.endpoint_id = d.endpoint_id AND e.clinic_id = d.clinic_id AND e.seq = d.seq
        WHERE
            d.state = 'due' AND p.active AND p.verified_at IS NOT NULL
            AND (
                (p.owner_kind = 'clinic' AND p.owner_id = a.clinic_id)
                OR (p.owner_kind = 'app' AND p.owner_id = a.app_id)
            )
    )
RETURNING booking_ref, app_id;

-- remember --
-- Every archived booking has its ref in booking_refs, where it is looked for. What was cancelled and never booked had no
-- key: it gets one that nobody sends.
INSERT INTO booking_refs (ref, app_id, key_hash, booking_ref)
SELECT
    a.booking_ref AS ref,
    a.app_id,
    sha256(convert_to('never booked ' || a.booking_ref, 'UTF8')) AS key_hash,
    a.booking_ref
FROM appointments AS a
WHERE
    a.clinic_id = $1 AND a.booking_ref = any($2::text[])
    AND NOT EXISTS (
        SELECT
        FROM booking_refs AS r
        WHERE r.ref = a.booking_ref
    )
ON CONFLICT DO NOTHING;

-- leave_attempts --
-- What endpoints answered is not kept: it may say anything. $3: the apps whose bookings these are.
DELETE FROM webhook_attempts AS d
USING webhook_endpoints AS p, appointment_events AS e
WHERE
    e.clinic_id = $1 AND e.booking_ref = any($2::text[])
    AND ((p.owner_kind = 'clinic' AND p.owner_id = $1) OR (p.owner_kind = 'app' AND p.owner_id = any($3::text[])))
    AND p.endpoint_id = d.endpoint_id AND e.clinic_id = d.clinic_id AND e.seq = d.seq;

-- leave_deliveries --
DELETE FROM webhook_deliveries AS d
USING webhook_endpoints AS p, appointment_events AS e
WHERE
    e.clinic_id = $1 AND e.booking_ref = any($2::text[])
    AND ((p.owner_kind = 'clinic' AND p.owner_id = $1) OR (p.owner_kind = 'app' AND p.owner_id = any($3::text[])))
    AND p.endpoint_id = d.endpoint_id AND e.clinic_id = d.clinic_id AND e.seq = d.seq;

-- leave_notifications --
DELETE FROM notifications
WHERE clinic_id = $1 AND booking_ref = any($2::text[]);

-- leave_attempted_calls --
DELETE FROM call_attempts
WHERE clinic_id = $1 AND booking_ref = any($2::text[]);

-- leave_seats --
DELETE FROM seat_claims
WHERE clinic_id = $1 AND booking_ref = any($2::text[]);

-- leave_reschedules --
DELETE FROM reschedules
WHERE clinic_id = $1 AND booking_ref = any($2::text[]);

-- leave_offers --
DELETE FROM offers
WHERE clinic_id = $1 AND booking_ref = any($2::text[]);

-- leave_waitlist --
DELETE FROM waitlist
WHERE clinic_id = $1 AND booking_ref = any($2::text[]);

-- leave_passes --
-- No pass opens what is not there.
DELETE FROM pass_generations
WHERE clinic_id = $1 AND booking_ref = any($2::text[]);

-- leave_events --
-- The table lets go of no event that does not stand in the archive.
DELETE FROM appointment_events
WHERE clinic_id = $1 AND booking_ref = any($2::text[]);

-- leave_appointments --
DELETE FROM appointments
WHERE clinic_id = $1 AND booking_ref = any($2::text[]);

-- forget_claims --
-- What patients have had so long ago that no interval, which is of $1 days at the most, asks for it any more.
DELETE FROM patient_claims
WHERE ctid = any(
    array(
        SELECT p.ctid
        FROM patient_claims AS p
        WHERE p.place IS NULL AND NOT p.only_one AND p.day < current_date - $1::integer
        ORDER BY p.day
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    )
);

-- late --
-- For how long the oldest booking that could be over since $1 has been so: the oldest of each clinic is looked at.
SELECT coalesce(max(extract(EPOCH FROM $1::timestamptz - greatest(o.start_at, o.newest_at))), 0)::double precision AS late
FROM clinics AS c
CROSS JOIN
    LATERAL ( -- noqa: ST05
        SELECT
            a.start_at,
            (
                SELECT max(e.at)
                FROM appointment_events AS e
                WHERE e.clinic_id = a.clinic_id AND e.booking_ref = a.booking_ref
            ) AS newest_at
        FROM appointments AS a
        WHERE a.clinic_id = c.clinic_id AND a.start_at < $1
        ORDER BY a.start_at
        LIMIT 1
    ) AS o
WHERE greatest(o.start_at, o.newest_at) < $1;
