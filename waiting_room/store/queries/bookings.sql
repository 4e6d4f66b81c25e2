-- bookings --
-- Bookings in the order of their refs. A ref whose key had made a booking already leads to that one. Place, line and
-- seq are of one instant: events of the clinic after seq are news to the reader.
SELECT
    n.ref AS asked_ref,
    a.clinic_id,
    a.booking_ref,
    a.app_id,
    a.ticket,
    a.status,
    a.stage,
    a.reason,
    a."by",
    a.row_version,
    a.provider_id,
    a.service_type,
    a.start_at,
    a.end_at,
    a.accepted_at,
    a.decided_at,
    a.offer_accepted_at,
    a.patient_erased_at,
    c.timezone,
    k.last_seq AS seq,
    k.line,
    w.requested_at AS wish_requested_at,
    w.provider_id AS wish_provider_id,
    w.start_at AS wish_start_at,
    w.end_at AS wish_end_at,
    w."by" AS wish_by,
    w.outcome AS wish_outcome,
    w.reason AS wish_reason,
    l.from_at AS wait_from_at,
    l.to_at AS wait_to_at,
    l.provider_id AS wait_provider_id,
    o.offer_id AS wait_offer_id,
    o.expires_at AS wait_expires_at,
    o.to_all AS wait_to_all,
    o.outcome AS wait_outcome,
    (
        SELECT m."by"
        FROM reschedules AS m
        WHERE
            m.clinic_id = a.clinic_id AND m.booking_ref = a.booking_ref AND m.revision = a.revision
            AND m.outcome = 'rescheduled'
    ) AS moved_by,
    (
        SELECT max(e.seq)
        FROM appointment_events AS e
        WHERE e.clinic_id = a.clinic_id AND e.booking_ref = a.booking_ref
    ) AS own_seq,
    CASE
        WHEN a.status = 'pending'
            THEN (
                SELECT count(*) + 1
                FROM appointments AS b
                WHERE b.clinic_id = a.clinic_id AND b.status = 'pending' AND b.ticket < a.ticket
            )
        WHEN a.status = 'waitlisted'
            THEN (
                SELECT count(*) + 1
                FROM appointments AS b
                WHERE
                    b.clinic_id = a.clinic_id AND b.status = 'waitlisted' AND b.ticket < a.ticket
                    AND b.service_type = a.service_type
            )
    END AS place
FROM unnest($1::text[]) WITH ORDINALITY AS n (ref, nr)
LEFT JOIN booking_refs AS r ON n.ref = r.ref
INNER JOIN appointments AS a
    ON
        a.clinic_id = left(coalesce(r.booking_ref, n.ref), 4)
        AND a.booking_ref = coalesce(r.booking_ref, n.ref)
INNER JOIN clinics AS c ON a.clinic_id = c.clinic_id
INNER JOIN clinic_counters AS k ON a.clinic_id = k.clinic_id
LEFT JOIN
    LATERAL (
        SELECT m.*
        FROM reschedules AS m
        WHERE m.clinic_id = a.clinic_id AND m.booking_ref = a.booking_ref
        ORDER BY m.revision DESC
        LIMIT 1
    ) AS w
    ON TRUE
LEFT JOIN waitlist AS l ON a.clinic_id = l.clinic_id AND a.booking_ref = l.booking_ref
LEFT JOIN
    LATERAL (
        SELECT f.*
        FROM offers AS f
        WHERE f.clinic_id = l.clinic_id AND f.booking_ref = l.booking_ref
        ORDER BY f.revision DESC
        LIMIT 1
    ) AS o
    ON TRUE
ORDER BY n.nr;

-- of_patient --
-- Newest first; the page after (accepted_at, booking_ref), or the first.
SELECT
    booking_ref,
    accepted_at AS position
FROM appointments
WHERE
    app_id = $1 AND patient_id = $2
    AND ($3::timestamptz IS NULL OR (accepted_at, booking_ref) < ($3::timestamptz, $4::text))
ORDER BY accepted_at DESC, booking_ref DESC
LIMIT $5;

-- of_day --
-- A clinic's bookings that start in [from, to), earliest first; the page after (start_at, booking_ref), or the first.
SELECT
    booking_ref,
    start_at AS position
FROM appointments
WHERE
    clinic_id = $1 AND start_at >= $2 AND start_at < $3
    AND ($4::timestamptz IS NULL OR (start_at, booking_ref) > ($4::timestamptz, $5::text))
ORDER BY start_at, booking_ref
LIMIT $6;

-- history --
SELECT record
FROM appointment_events
WHERE clinic_id = $1 AND booking_ref = $2
ORDER BY seq;
