-- load_systems --
SELECT
    c.clinic_id,
    c.adapter,
    c.endpoint,
    c.declared_concurrency,
    c.settle_seconds,
    c.honours_idempotency,
    c.has_lookup,
    c.partition,
    c.business_id,
    c.map_version > 1 AS moved,
    (
        SELECT jsonb_object_agg(s.service_type, s.eligibility)
        FROM service_types AS s
        WHERE s.business_id = c.business_id AND s.eligibility <> 'none'
    ) AS asks,
    (
        SELECT count(*) > 1
        FROM clinics AS o
        WHERE o.partition = c.partition
    ) AS shared
FROM clinics AS c
WHERE c.clinic_id = any($1::text[]);

-- load_attempts --
-- Called with the clinics' counter rows locked: no attempt of theirs begins or ends meanwhile.
SELECT
    c.clinic_id,
    c.booking_ref,
    c.attempt,
    c.kind,
    c.worker_id,
    c.claimed_at,
    c.lease_until,
    c.ended_at,
    c.outcome,
    c.revision
FROM unnest($1::text[], $2::text[]) AS n (clinic_id, booking_ref)
INNER JOIN call_attempts AS c ON n.clinic_id = c.clinic_id AND n.booking_ref = c.booking_ref
ORDER BY c.clinic_id, c.booking_ref, c.attempt;

-- end_attempts --
UPDATE call_attempts AS c
SET ended_at = $5::timestamptz, outcome = n.outcome
FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[]) AS n (clinic_id, booking_ref, attempt, outcome)
WHERE
    c.clinic_id = n.clinic_id AND c.booking_ref = n.booking_ref AND c.attempt = n.attempt
    AND c.ended_at IS NULL;
