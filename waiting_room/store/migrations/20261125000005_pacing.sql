-- migrate:up

ALTER TABLE appointments
-- The last moment a decision is of use: a hold is extended up to it while its clinic is down.
ADD COLUMN decide_by timestamptz,
-- What its caller was told when it was accepted: seconds until it is decided, in half and in nine tenths of all cases.
ADD COLUMN eta_p50 real,
ADD COLUMN eta_p90 real,
ADD CHECK ((eta_p50 IS NULL) = (eta_p90 IS NULL));

-- Clinics that are taken to be down, as the worker that calls them says again every few seconds.
CREATE TABLE clinic_outages (
    clinic_id text PRIMARY KEY REFERENCES clinics,
    since timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- A lane is filled up with what its clinic still has to hear of, whatever the booking's status.
CREATE INDEX appointments_of_clinic_at_clinic ON appointments (clinic_id, ticket)
WHERE clinic_state IN ('calling', 'unknown', 'withdrawing');
CREATE INDEX clinics_of_partition ON clinics (partition);

GRANT SELECT, INSERT, UPDATE, DELETE ON clinic_outages TO waiting_room_confirm;
GRANT SELECT ON clinic_outages TO waiting_room_sweep, waiting_room_ingress, waiting_room_audit;
GRANT SELECT ON clinic_counters TO waiting_room_confirm;

-- migrate:down
DROP INDEX clinics_of_partition, appointments_of_clinic_at_clinic;
DROP TABLE clinic_outages;
ALTER TABLE appointments DROP COLUMN decide_by, DROP COLUMN eta_p50, DROP COLUMN eta_p90;
