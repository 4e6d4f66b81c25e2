-- claimed --
-- Of these refs, those that a booking was made under, or led to one. Who is archived is among them.
SELECT ref
FROM booking_refs
WHERE ref = any($1::text[]);

-- bookings --
-- Of these refs, those that are archived, as `bookings` tells those that are not: as they were when they were.
SELECT
    n.ref AS asked_ref,
    z.clinic_id,
    z.booking_ref,
    z.app_id,
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
    z.accepted_at,
    a.decided_at,
    a.offer_accepted_at,
    z.patient_erased_at,
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
    TRUE AS archived,
    NULL AS place,
    (z.document #>> '{events,-1,seq}')::bigint AS own_seq
FROM booking_refs AS n
INNER JOIN archived_bookings AS z ON z.clinic_id = left(n.booking_ref, 4) AND n.booking_ref = z.booking_ref
CROSS JOIN LATERAL jsonb_populate_record(NULL::appointments, z.document -> 'appointment') AS a
INNER JOIN clinics AS c ON z.clinic_id = c.clinic_id
INNER JOIN clinic_counters AS k ON z.clinic_id = k.clinic_id
LEFT JOIN LATERAL jsonb_populate_record(NULL::reschedules, z.document #> '{reschedules,-1}') AS w ON TRUE
LEFT JOIN LATERAL jsonb_populate_record(NULL::waitlist, z.document #> '{waitlist,0}') AS l ON TRUE
LEFT JOIN LATERAL jsonb_populate_record(NULL::offers, z.document #> '{offers,-1}') AS o ON TRUE
WHERE n.ref = any($1::text[]);

-- history --
SELECT e.record
FROM archived_bookings AS z
CROSS JOIN LATERAL jsonb_array_elements(z.document -> 'events') AS e (record)
WHERE z.clinic_id = $1 AND z.booking_ref = $2
ORDER BY (e.record ->> 'seq')::bigint;

-- notifications --
SELECT
    m.revision,
    m.kind,
    m.channel,
    m.state,
    m.due_at,
    m.attempts,
    m.ended_at,
    m.last_error
FROM archived_bookings AS z
CROSS JOIN LATERAL jsonb_populate_recordset(NULL::notifications, z.document -> 'notifications') AS m
WHERE z.clinic_id = $1 AND z.booking_ref = $2
ORDER BY m.due_at, m.kind, m.ended_at, m.channel;

-- of_patient --
-- As `of_patient` of those that are not archived. Those of before $6 are not wanted; nobody is accepted after their day.
SELECT
    booking_ref,
    accepted_at AS position
FROM archived_bookings
WHERE
    app_id = $1 AND patient_id = $2
    AND ($3::timestamptz IS NULL OR (accepted_at, booking_ref) < ($3::timestamptz, $4::text))
    AND day >= coalesce($6::date, '-infinity')
ORDER BY accepted_at DESC, booking_ref DESC
LIMIT $5;

-- of_day --
SELECT
    booking_ref,
    start_at AS position
FROM archived_bookings
WHERE
    clinic_id = $1 AND start_at >= $2 AND start_at < $3
    AND day BETWEEN ($2::timestamptz AT TIME ZONE 'UTC')::date AND ($3::timestamptz AT TIME ZONE 'UTC')::date
    AND ($4::timestamptz IS NULL OR (start_at, booking_ref) > ($4::timestamptz, $5::text))
ORDER BY start_at, booking_ref
LIMIT $6;
