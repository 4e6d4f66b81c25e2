-- now --
SELECT clock_timestamp();

-- clinics --
-- Where the patient has booked, but for bookings that are archived: nobody changes those.
SELECT DISTINCT clinic_id
FROM appointments
WHERE app_id = $1 AND patient_id = $2;

-- bookings --
-- Called with the patient locked: nobody gives them another booking meanwhile. Wanted is what is still to be decided, to
-- take place, or to be settled with its clinic.
SELECT
    clinic_id,
    booking_ref,
    status = 'pending'
    OR clinic_state NOT IN ('none', 'booked')
    OR moving_to IS NOT NULL
    OR (status NOT IN ('rejected', 'cancelled', 'completed', 'no_show') AND coalesce(end_at > now(), TRUE)) AS wanted
FROM appointments
WHERE app_id = $1 AND patient_id = $2
ORDER BY booking_ref;

-- forget_key --
DELETE FROM patient_keys
WHERE app_id = $1 AND patient_id = $2
RETURNING app_id;

-- forget_bookings --
UPDATE appointments
SET patient = NULL, patient_id = NULL, body_hash = NULL, patient_erased_at = now()
WHERE app_id = $1 AND patient_id = $2;

-- forget_archived --
UPDATE archived_bookings
SET patient = NULL, patient_id = NULL, body_hash = NULL, patient_erased_at = now()
WHERE app_id = $1 AND patient_id = $2;

-- forget_claims --
DELETE FROM patient_claims
WHERE app_id = $1 AND patient_id = $2;

-- forget_unsubscribed --
DELETE FROM unsubscribed
WHERE app_id = $1 AND patient_id = $2;

-- unused --
-- Keys that nobody has seen used for so long, the longest first, with when the patient's last appointment really ended.
SELECT
    k.app_id,
    k.patient_id,
    u.used_until,
    coalesce(u.used_until >= now() - make_interval(days => $1), FALSE) AS still_used
FROM patient_keys AS k
CROSS JOIN
    LATERAL ( -- noqa: ST05
        SELECT max(b.used_until) AS used_until
        FROM (
            SELECT greatest(a.accepted_at, a.end_at) AS used_until
            FROM appointments AS a
            WHERE a.app_id = k.app_id AND a.patient_id = k.patient_id
            UNION ALL
            SELECT greatest(z.accepted_at, (z.document #>> '{appointment,end_at}')::timestamptz) AS used_until
            FROM archived_bookings AS z
            WHERE z.app_id = k.app_id AND z.patient_id = k.patient_id
        ) AS b
    ) AS u
WHERE k.used_until < now() - make_interval(days => $1)
ORDER BY k.used_until
LIMIT $2;

-- look_again --
-- Keys that are used after all, by when they last were; those that cannot be forgotten yet are looked at tomorrow.
UPDATE patient_keys AS k
SET used_until = greatest(n.used_until, now() - make_interval(days => $4 - 1))
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS n (app_id, patient_id, used_until)
WHERE k.app_id = n.app_id AND k.patient_id = n.patient_id;
