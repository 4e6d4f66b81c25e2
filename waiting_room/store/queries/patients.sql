-- lock --
-- Whoever gives a patient another booking looks at what they have first. In ascending order, as clinics are.
WITH patients AS MATERIALIZED (
    SELECT DISTINCT hashtextextended(p.patient_id, hashtextextended(p.app_id, 0)) AS patient
    FROM unnest($1::text[], $2::text[]) AS p (app_id, patient_id)
    ORDER BY patient
)

SELECT count(pg_advisory_xact_lock(patient)) AS locked
FROM patients;

-- claims --
SELECT
    c.app_id,
    c.patient_id,
    c.clinic_id,
    c.booking_ref,
    c.business_id,
    c.service_type,
    c.day,
    c.place,
    c.only_one
FROM unnest($1::text[], $2::text[]) AS n (app_id, patient_id)
INNER JOIN patient_claims AS c ON n.app_id = c.app_id AND n.patient_id = c.patient_id;

-- moved --
UPDATE patient_claims AS p
SET day = (n.start_at AT TIME ZONE c.timezone)::date
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS n (clinic_id, booking_ref, start_at)
INNER JOIN clinics AS c ON n.clinic_id = c.clinic_id
WHERE p.clinic_id = n.clinic_id AND p.booking_ref = n.booking_ref;

-- wait_again --
-- Of bookings that were at a time and wait for one again: the first day that will do, as when they began to wait.
UPDATE patient_claims AS p
SET day = (w.from_at AT TIME ZONE c.timezone)::date
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
INNER JOIN waitlist AS w ON n.clinic_id = w.clinic_id AND n.booking_ref = w.booking_ref
INNER JOIN clinics AS c ON w.clinic_id = c.clinic_id
WHERE p.clinic_id = n.clinic_id AND p.booking_ref = n.booking_ref;

-- settle --
-- What these bookings take of their patients' allowance once they are decided: nothing, unless the service lasts.
WITH decided AS (
    SELECT
        n.clinic_id,
        n.booking_ref,
        n.status
    FROM unnest($1::text[], $2::text[], $3::text[]) AS n (clinic_id, booking_ref, status)
),

over AS (
    DELETE FROM patient_claims AS c
    USING decided AS n
    WHERE
        c.clinic_id = n.clinic_id AND c.booking_ref = n.booking_ref
        AND (NOT c.lasting OR n.status IN ('rejected', 'cancelled', 'no_show'))
)

UPDATE patient_claims AS c
SET place = NULL, only_one = c.only_one AND n.status <> 'completed'
FROM decided AS n
WHERE
    c.clinic_id = n.clinic_id AND c.booking_ref = n.booking_ref
    AND c.lasting AND n.status NOT IN ('rejected', 'cancelled', 'no_show')
    AND (c.place IS NOT NULL OR (c.only_one AND n.status = 'completed'));
