-- generation --
-- Of a booking's passes; no row if there is no such booking.
SELECT coalesce(g.generation, 0) AS generation
FROM appointments AS a
LEFT JOIN pass_generations AS g ON a.clinic_id = g.clinic_id AND a.booking_ref = g.booking_ref
WHERE a.clinic_id = $1 AND a.booking_ref = $2;

-- revoke --
INSERT INTO pass_generations AS g (clinic_id, booking_ref, generation)
SELECT
    a.clinic_id,
    a.booking_ref,
    1 AS generation
FROM appointments AS a
WHERE a.clinic_id = $1 AND a.booking_ref = $2
ON CONFLICT (clinic_id, booking_ref) DO UPDATE
    SET generation = g.generation + 1, revoked_at = now()
RETURNING generation;
