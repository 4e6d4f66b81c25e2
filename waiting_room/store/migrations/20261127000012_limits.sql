-- migrate:up

ALTER TABLE businesses
-- How long before its start a patient may still cancel what is confirmed, where the service says nothing else.
ADD COLUMN cancel_notice_minutes integer NOT NULL DEFAULT 1440 CHECK (cancel_notice_minutes BETWEEN 0 AND 43200);

ALTER TABLE service_types
ADD COLUMN cancel_notice_minutes integer CHECK (cancel_notice_minutes BETWEEN 0 AND 43200),
-- A patient may have one booking of it that is neither over nor off.
ADD COLUMN one_active boolean NOT NULL DEFAULT FALSE,
-- So many days after the patient's last appointment for interval_after, or for the service itself, at the earliest.
ADD COLUMN interval_days integer CHECK (interval_days BETWEEN 1 AND 730),
ADD COLUMN interval_after text;

-- What a patient's bookings take of what is allowed to them. As with seats a row takes, its absence frees; the patient
-- is locked before anybody looks (an advisory lock), and the indexes have the last word.
CREATE TABLE patient_claims (
    clinic_id text NOT NULL,
    booking_ref text NOT NULL,
    app_id text NOT NULL,
    patient_id text NOT NULL,
    -- Which of the pending bookings a patient may have it is; none once it is decided.
    place smallint CHECK (place >= 0),
    business_id text NOT NULL,
    service_type text NOT NULL,
    -- By the clinic's clock.
    day date NOT NULL,
    only_one boolean NOT NULL,
    -- Whether anything is asked about it once it is decided.
    lasting boolean NOT NULL,
    PRIMARY KEY (clinic_id, booking_ref),
    FOREIGN KEY (clinic_id, booking_ref) REFERENCES appointments (clinic_id, booking_ref) ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX patient_claims_pending ON patient_claims (app_id, patient_id, place);
CREATE UNIQUE INDEX patient_claims_one_active ON patient_claims (app_id, patient_id, business_id, service_type)
WHERE only_one;

INSERT INTO patient_claims
SELECT
    a.clinic_id,
    a.booking_ref,
    a.app_id,
    a.patient_id,
    (row_number() OVER (PARTITION BY a.app_id, a.patient_id ORDER BY a.accepted_at, a.booking_ref) - 1)::smallint AS place,
    c.business_id,
    a.service_type,
    (a.start_at AT TIME ZONE c.timezone)::date AS day,
    FALSE AS only_one,
    FALSE AS lasting
FROM appointments AS a
INNER JOIN clinics AS c ON a.clinic_id = c.clinic_id
WHERE a.status = 'pending' AND a.ticket IS NOT NULL AND a.patient_id IS NOT NULL AND a.service_type IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON patient_claims TO waiting_room_hold;
GRANT SELECT, UPDATE, DELETE ON patient_claims TO waiting_room_confirm, waiting_room_sweep, waiting_room_ingress;
GRANT SELECT ON patient_claims TO waiting_room_audit;

-- migrate:down
DROP TABLE patient_claims;
ALTER TABLE service_types DROP COLUMN cancel_notice_minutes, DROP COLUMN one_active, DROP COLUMN interval_days,
DROP COLUMN interval_after;
ALTER TABLE businesses DROP COLUMN cancel_notice_minutes;
