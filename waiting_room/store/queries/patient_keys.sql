-- find --
-- The keys of those of these patients that have one.
SELECT
    k.app_id,
    k.patient_id,
    k.wrapped
FROM unnest($1::text[], $2::text[]) AS n (app_id, patient_id)
INNER JOIN patient_keys AS k ON n.app_id = k.app_id AND n.patient_id = k.patient_id;

-- under_others --
-- Keys that are not wrapped under the current master key: whose wrapping does not begin with its mark.
SELECT
    app_id,
    patient_id,
    wrapped
FROM patient_keys
WHERE (app_id, patient_id) > ($1::text, $2::text) AND substring(wrapped FROM 1 FOR length($3::bytea)) <> $3::bytea
ORDER BY app_id, patient_id
LIMIT $4;

-- rewrap --
-- The same keys under another master key; one that was forgotten meanwhile stays so.
UPDATE patient_keys AS k
SET wrapped = n.new
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[]) AS n (app_id, patient_id, old, new)
WHERE k.app_id = n.app_id AND k.patient_id = n.patient_id AND k.wrapped = n.old;

-- plain --
-- Bookings from before there were keys, whose patients are not sealed.
SELECT
    clinic_id,
    booking_ref,
    app_id,
    patient_id,
    patient
FROM appointments
WHERE patient_id IS NOT NULL AND patient_id !~ '^h1[.][A-Za-z0-9_-]{22}$'
ORDER BY clinic_id, booking_ref
LIMIT $1;

-- seal --
UPDATE appointments AS a
SET patient_id = n.tag, patient = n.sealed
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS n (clinic_id, booking_ref, tag, sealed)
WHERE a.clinic_id = n.clinic_id AND a.booking_ref = n.booking_ref;

-- plain_claims --
SELECT DISTINCT
    app_id,
    patient_id
FROM patient_claims
WHERE patient_id !~ '^h1[.][A-Za-z0-9_-]{22}$';

-- tag_claims --
UPDATE patient_claims AS c
SET patient_id = n.tag
FROM unnest($1::text[], $2::text[], $3::text[]) AS n (app_id, patient_id, tag)
WHERE c.app_id = n.app_id AND c.patient_id = n.patient_id;

-- plain_unsubscribed --
SELECT DISTINCT
    app_id,
    patient_id
FROM unsubscribed
WHERE patient_id !~ '^h1[.][A-Za-z0-9_-]{22}$';

-- tag_unsubscribed --
UPDATE unsubscribed AS u
SET patient_id = n.tag
FROM unnest($1::text[], $2::text[], $3::text[]) AS n (app_id, patient_id, tag)
WHERE u.app_id = n.app_id AND u.patient_id = n.patient_id;
