-- lock_clinics --
-- Locks the counter rows in ascending id, so that no two transactions wait for each other in a circle.
SELECT
    clinic_id,
    last_ticket,
    last_seq,
    line,
    rules_version,
    waiting,
    clock_timestamp() AS now
FROM clinic_counters
WHERE clinic_id = any($1::text[])
ORDER BY clinic_id
FOR NO KEY UPDATE;

-- save_counters --
UPDATE clinic_counters AS c
SET last_ticket = n.last_ticket, last_seq = n.last_seq, line = n.line, waiting = n.waiting
FROM
    unnest($1::text[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[])
        AS n (clinic_id, last_ticket, last_seq, line, waiting)
WHERE c.clinic_id = n.clinic_id;

-- update_appointments --
UPDATE appointments AS a
SET
    status = n.status, stage = n.stage, clinic_state = n.clinic_state, reason = n.reason, "by" = n.by,
    row_version = n.row_version, decided_at = n.decided_at, next_attempt_at = n.next_attempt_at,
    attempts = n.attempts, clinic_booking_id = n.clinic_booking_id, moving_to = n.moving_to, revision = n.revision
FROM
    unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[],
        $9::timestamptz[], $10::timestamptz[], $11::integer[], $12::text[], $13::integer[], $14::integer[]
    )
        AS n (
            clinic_id, booking_ref, status, stage, clinic_state, reason, "by", row_version, decided_at, next_attempt_at,
            attempts, clinic_booking_id, moving_to, revision
        )
WHERE a.clinic_id = n.clinic_id AND a.booking_ref = n.booking_ref;

-- free_seats --
-- Nobody relies on these bookings' seats any more. What was claimed in pieces comes free whole.
WITH freed AS (
    DELETE FROM seat_claims AS s
    USING unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
    WHERE s.clinic_id = n.clinic_id AND s.booking_ref = n.booking_ref
    RETURNING s.clinic_id, s.provider_id, s.during, coalesce(s.claimed, s.during) AS claimed
)

SELECT
    clinic_id,
    provider_id,
    lower(claimed) AS start_at,
    upper(claimed) AS busy_until
FROM freed
WHERE lower(during) = lower(claimed);

-- end_reschedules --
UPDATE reschedules AS r
SET ended_at = $6::timestamptz, outcome = n.outcome, reason = n.reason
FROM
    unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[])
        AS n (
            clinic_id, booking_ref, revision, outcome, reason
        )
WHERE r.clinic_id = n.clinic_id AND r.booking_ref = n.booking_ref AND r.revision = n.revision;

-- move_appointments --
-- To where they were wished. A decision that comes after they begin is of no use.
UPDATE appointments AS a
SET
    provider_id = n.provider_id, seat = n.seat, start_at = n.start_at, end_at = n.end_at,
    hold_until = least(a.hold_until, n.start_at), decide_by = least(a.decide_by, n.start_at)
FROM
    unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[])
        AS n (
            clinic_id, booking_ref, provider_id, seat, start_at, end_at
        )
WHERE a.clinic_id = n.clinic_id AND a.booking_ref = n.booking_ref;

-- place_appointments --
-- Where those are who wait or waited, offered a seat or not, and until when they may be decided once they accepted.
UPDATE appointments AS a
SET
    provider_id = n.provider_id, seat = n.seat, start_at = n.start_at, end_at = n.end_at, doses = n.doses,
    held_at = n.held_at, hold_until = n.hold_until, decide_by = n.decide_by, offer_accepted_at = n.offer_accepted_at
FROM
    unnest(
        $1::text[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[], $7::integer[],
        $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[]
    )
        AS n (
            clinic_id, booking_ref, provider_id, seat, start_at, end_at, doses, held_at, hold_until, decide_by,
            offer_accepted_at
        )
WHERE a.clinic_id = n.clinic_id AND a.booking_ref = n.booking_ref;

-- free_other_revisions --
-- Of bookings that have been moved, or are not going to be.
WITH freed AS (
    DELETE FROM seat_claims AS s
    USING unnest($1::text[], $2::text[], $3::integer[]) AS n (clinic_id, booking_ref, revision)
    WHERE s.clinic_id = n.clinic_id AND s.booking_ref = n.booking_ref AND s.revision <> n.revision
    RETURNING s.clinic_id, s.provider_id, s.during, coalesce(s.claimed, s.during) AS claimed
)

SELECT
    clinic_id,
    provider_id,
    lower(claimed) AS start_at,
    upper(claimed) AS busy_until
FROM freed
WHERE lower(during) = lower(claimed);

-- load_bookings --
-- Called with the clinics' counter rows locked: what it reads does not change under the caller.
SELECT
    a.clinic_id,
    a.booking_ref,
    a.app_id,
    a.ticket,
    a.status,
    a.stage,
    a.clinic_state,
    a.reason,
    a."by",
    a.revision,
    a.row_version,
    a.body_hash,
    a.provider_id,
    a.seat,
    a.service_type,
    a.start_at,
    a.end_at,
    a.patient_id,
    a.patient,
    a.accepted_at,
    a.held_at,
    a.decided_at,
    a.hold_until,
    a.decide_by,
    a.eta_p50,
    a.eta_p90,
    a.next_attempt_at,
    a.attempts,
    a.clinic_booking_id,
    a.range_to,
    a.doses,
    a.moving_to,
    a.offer_accepted_at,
    r.provider_id AS wish_provider_id,
    r.seat AS wish_seat,
    r.start_at AS wish_start_at,
    r.end_at AS wish_end_at,
    r.move_until AS wish_move_until,
    r."by" AS wish_by,
    r.must_move AS wish_must_move,
    m."by" AS moved_by
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
INNER JOIN appointments AS a ON n.clinic_id = a.clinic_id AND n.booking_ref = a.booking_ref
LEFT JOIN reschedules AS r
    ON a.clinic_id = r.clinic_id AND a.booking_ref = r.booking_ref AND a.moving_to = r.revision
LEFT JOIN reschedules AS m
    ON
        a.revision > 1 AND a.clinic_id = m.clinic_id AND a.booking_ref = m.booking_ref AND a.revision = m.revision
        AND m.outcome = 'rescheduled';
