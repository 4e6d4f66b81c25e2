-- say --
-- Down, still. Since when is kept.
INSERT INTO clinic_outages AS o (clinic_id)
SELECT n.clinic_id
FROM unnest($1::text[]) AS n (clinic_id)
ORDER BY n.clinic_id
ON CONFLICT (clinic_id) DO UPDATE
    SET
        seen_at = now(),
        since = CASE WHEN o.seen_at < now() - make_interval(secs => $2) THEN now() ELSE o.since END;

-- end --
DELETE FROM clinic_outages
WHERE clinic_id = any($1::text[]);

-- running_out --
-- Clinics that are down and have a hold that runs out within $2 seconds although a decision would still be of use.
-- What nobody has said again for $1 seconds does not count.
SELECT o.clinic_id
FROM clinic_outages AS o
WHERE
    o.seen_at >= now() - make_interval(secs => $1)
    AND EXISTS (
        SELECT a.booking_ref
        FROM appointments AS a
        WHERE
            a.clinic_id = o.clinic_id AND a.status = 'pending'
            AND a.hold_until < now() + make_interval(secs => $2)
            AND a.hold_until < a.decide_by
    )
ORDER BY o.clinic_id;

-- extend --
-- Under the lock of the clinics' counter rows. All that wait there: they were accepted, and the outage is not theirs.
UPDATE appointments
SET hold_until = decide_by
WHERE clinic_id = any($1::text[]) AND status = 'pending' AND hold_until < decide_by AND hold_until > now()
RETURNING clinic_id;
