-- add --
INSERT INTO unsubscribed (app_id, patient_id, channel)
SELECT
    app_id,
    patient_id,
    $2 AS channel
FROM appointments
WHERE clinic_id = left($1, 4) AND booking_ref = $1 AND patient_id IS NOT NULL
ON CONFLICT (app_id, patient_id, channel) DO UPDATE
    SET channel = excluded.channel
RETURNING channel;

-- remove --
WITH patient AS (
    SELECT
        app_id,
        patient_id
    FROM appointments
    WHERE clinic_id = left($1, 4) AND booking_ref = $1 AND patient_id IS NOT NULL
),

removed AS (
    DELETE FROM unsubscribed AS u
    USING patient AS p
    WHERE u.app_id = p.app_id AND u.patient_id = p.patient_id AND u.channel = $2
)

SELECT app_id
FROM patient;
