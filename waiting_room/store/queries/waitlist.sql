-- waiting --
-- Who waits at a clinic for a start that lies in what came free, the first to have asked first, after ticket $2; with
-- the times that each did not take. $3, $4: from the earliest start that could reach into it to its end.
SELECT
    a.booking_ref,
    a.ticket,
    w.service_type,
    w.provider_id,
    w.from_at,
    w.to_at,
    (
        SELECT array_agg(o.provider_id ORDER BY o.offer_id)
        FROM offers AS o
        WHERE o.clinic_id = a.clinic_id AND o.booking_ref = a.booking_ref AND o.outcome IN ('declined', 'expired')
    ) AS refused_providers,
    (
        SELECT array_agg(o.start_at ORDER BY o.offer_id)
        FROM offers AS o
        WHERE o.clinic_id = a.clinic_id AND o.booking_ref = a.booking_ref AND o.outcome IN ('declined', 'expired')
    ) AS refused_starts
FROM appointments AS a
INNER JOIN waitlist AS w ON a.clinic_id = w.clinic_id AND a.booking_ref = w.booking_ref
WHERE
    a.clinic_id = $1 AND a.status = 'waitlisted' AND a.stage = 'waiting' AND a.ticket > $2
    AND w.to_at > $3 AND w.from_at < $4
    AND (w.provider_id IS NULL OR w.provider_id = any($5::text[]))
    AND ($7::text[] IS NULL OR a.booking_ref = any($7::text[]))
ORDER BY a.ticket
LIMIT $6;

-- end_offers --
-- The open offers of these bookings; those that others had been made beside them.
UPDATE offers AS o
SET ended_at = $4::timestamptz, outcome = n.outcome
FROM unnest($1::text[], $2::text[], $3::text[]) AS n (clinic_id, booking_ref, outcome)
WHERE o.clinic_id = n.clinic_id AND o.booking_ref = n.booking_ref AND o.ended_at IS NULL
RETURNING o.clinic_id, o.group_id, o.to_all;

-- offer --
SELECT
    offer_id,
    clinic_id,
    booking_ref,
    group_id,
    to_all,
    provider_id,
    seat,
    start_at,
    end_at,
    busy_until,
    expires_at,
    outcome
FROM offers
WHERE offer_id = $1;

-- open_in_groups --
-- Offers of these groups that are open, the first who asked first.
SELECT
    o.offer_id,
    o.clinic_id,
    o.booking_ref,
    o.group_id,
    o.to_all,
    o.provider_id,
    o.seat,
    o.start_at,
    o.end_at,
    o.busy_until,
    o.expires_at,
    o.outcome
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, group_id)
INNER JOIN offers AS o ON n.clinic_id = o.clinic_id AND n.group_id = o.group_id AND o.ended_at IS NULL
INNER JOIN appointments AS a ON o.clinic_id = a.clinic_id AND o.booking_ref = a.booking_ref
ORDER BY o.clinic_id, o.group_id, a.ticket;

-- expired --
-- Offers that nobody has answered in time, by the database's clock.
SELECT
    clinic_id,
    booking_ref
FROM offers
WHERE ended_at IS NULL AND expires_at <= now()
ORDER BY expires_at
LIMIT $1;

-- still_expired --
-- Of these bookings, with their clinics locked, those that have such an offer.
SELECT
    o.clinic_id,
    o.booking_ref
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
INNER JOIN offers AS o ON n.clinic_id = o.clinic_id AND n.booking_ref = o.booking_ref
WHERE o.ended_at IS NULL AND o.expires_at <= $3;

-- leave --
-- These wait no more.
UPDATE waitlist AS w
SET waits = FALSE
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
WHERE w.clinic_id = n.clinic_id AND w.booking_ref = n.booking_ref;

-- over --
-- Who waits for a time that has passed. How many that are is not guessed: most times that have passed are nobody's wish any
-- more.
SELECT
    a.clinic_id,
    a.booking_ref
FROM waitlist AS w
CROSS JOIN
    LATERAL ( -- noqa: ST05
        SELECT
            b.clinic_id,
            b.booking_ref
        FROM appointments AS b
        WHERE
            b.clinic_id = w.clinic_id AND b.booking_ref = w.booking_ref AND b.status = 'waitlisted' AND b.stage = 'waiting'
        LIMIT 1 -- noqa: AM09
    ) AS a
WHERE w.waits AND w.to_at <= now()
ORDER BY w.to_at
LIMIT $1;

-- unoffered --
-- Of those who wait at a clinic (of $3, where it is given) the first $2 who do so in vain: nobody offers that service any
-- more, or the provider whom they wait for does not.
SELECT
    a.clinic_id,
    a.booking_ref
FROM appointments AS a
INNER JOIN waitlist AS w ON a.clinic_id = w.clinic_id AND a.booking_ref = w.booking_ref
WHERE
    a.clinic_id = $1 AND a.status = 'waitlisted' AND a.stage = 'waiting'
    AND ($3::text[] IS NULL OR a.booking_ref = any($3::text[]))
    AND NOT EXISTS (
        SELECT
        FROM providers AS p
        WHERE
            p.clinic_id = a.clinic_id AND w.service_type = any(p.service_types)
            AND (w.provider_id IS NULL OR w.provider_id = p.provider_id)
    )
ORDER BY a.ticket
LIMIT $2;

-- clinics_waited_for --
-- With how many wait there, and how many of them are asked just now.
SELECT
    k.clinic_id,
    k.waiting,
    (
        SELECT count(*)::integer
        FROM offers AS o
        WHERE o.clinic_id = k.clinic_id AND o.ended_at IS NULL
    ) AS asked
FROM clinic_counters AS k
WHERE k.waiting > 0
ORDER BY k.clinic_id;

-- offered_in --
-- Bookings with an open offer at one of these providers that reaches into this time.
SELECT
    clinic_id,
    booking_ref
FROM offers
WHERE
    clinic_id = $1 AND ended_at IS NULL AND provider_id = any($2::text[])
    AND start_at < $4 AND end_at > $3
ORDER BY booking_ref;
