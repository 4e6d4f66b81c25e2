-- asked --
-- Called with the clinics' counter rows locked.
SELECT
    r.clinic_id,
    r.booking_ref,
    max(r.revision) AS newest_revision,
    array_agg(r.key_hash) AS key_hashes
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
INNER JOIN reschedules AS r ON n.clinic_id = r.clinic_id AND n.booking_ref = r.booking_ref
GROUP BY r.clinic_id, r.booking_ref;

-- booked_in --
SELECT booking_ref
FROM appointments
WHERE
    clinic_id = $1 AND provider_id = any($2::text[]) AND status IN ('pending', 'confirmed') AND moving_to IS NULL
    AND start_at < $4 AND start_at > now() AND end_at > $3
ORDER BY ticket
LIMIT $5;
