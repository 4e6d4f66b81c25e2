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
