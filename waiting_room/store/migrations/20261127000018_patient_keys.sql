-- migrate:up

-- The key that a patient's data is sealed under (waiting_room/patient_keys.py), wrapped under the master key. Without its
-- row nothing of the patient can be opened, wherever a copy of it is left.
CREATE TABLE patient_keys (
    app_id text NOT NULL,
    -- A keyed hash of the app and its id for the patient, here and in every other table.
    patient_id text NOT NULL,
    wrapped bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- When the patient's last appointment ended, as far as anybody has looked: never later than it did.
    used_until timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, patient_id)
);
CREATE INDEX patient_keys_unused ON patient_keys (used_until);

-- What is there stays readable as it is, JSON, until `python -m waiting_room patients seal` has sealed it.
ALTER TABLE appointments
ALTER COLUMN patient TYPE bytea USING convert_to(patient::text, 'UTF8'),
-- Since then nobody knows whose it was.
ADD COLUMN patient_erased_at timestamptz,
ADD CONSTRAINT appointments_erased CHECK (patient_erased_at IS NULL OR (patient IS NULL AND patient_id IS NULL));

-- Who opens what is sealed, with the master key from their environment.
GRANT SELECT, INSERT ON patient_keys TO waiting_room_hold;
GRANT SELECT ON patient_keys TO waiting_room_confirm, waiting_room_notify, waiting_room_webhooks;
GRANT SELECT (app_id) ON appointments TO waiting_room_webhooks;

-- Who erases needs no key to do so.
GRANT SELECT (app_id, patient_id, used_until), UPDATE (used_until), DELETE ON patient_keys TO waiting_room_sweep;
GRANT SELECT (app_id, patient_id), DELETE ON patient_keys TO waiting_room_ingress;
GRANT SELECT, DELETE ON unsubscribed TO waiting_room_sweep;

-- migrate:down
REVOKE SELECT, DELETE ON unsubscribed FROM waiting_room_sweep;
ALTER TABLE appointments
DROP COLUMN patient_erased_at,
-- What is sealed cannot be read without its key, which goes too.
ALTER COLUMN patient TYPE jsonb USING CASE WHEN get_byte(patient, 0) = 123 THEN convert_from(patient, 'UTF8')::jsonb END;
DROP TABLE patient_keys;
