-- add --
-- The link stands in messages about bookings that may be archived since.
INSERT INTO unsubscribed (app_id, patient_id, channel)
SELECT
    b.app_id,
    b.patient_id,
    $2 AS channel
FROM (
    SELECT
        app_id,
        patient_id
    FROM appointments
    WHERE clinic_id = left($1, 4) AND booking_ref = $1
    UNION ALL
    SELECT
        app_id,
        patient_id
    FROM archived_bookings
    WHERE clinic_id = left($1, 4) AND booking_ref = $1
) AS b
WHERE b.patient_id IS NOT NULL
ON CONFLICT (app_id, patient_id, channel) DO UPDATE
    SET channel = excluded.channel
RETURNING channel;

-- remove --
WITH patient AS (
    SELECT
        b.app_id,
        b.patient_id
    FROM (
        SELECT
            app_id,
            patient_id
        FROM appointments
        WHERE clinic_id = left($1, 4) AND booking_ref = $1
        UNION ALL
        SELECT
            app_id,
            patient_id
        FROM archived_bookings
        WHERE clinic_id = left($1, 4) AND booking_ref = $1
    ) AS b
    WHERE b.patient_id IS NOT NULL
),

removed AS (
    DELETE FROM unsubscribed AS u
    USING patient AS p
    WHERE u.app_id = p.app_id AND u.patient_id = p.patient_id AND u.channel = $2
)

SELECT app_id
FROM patient;
