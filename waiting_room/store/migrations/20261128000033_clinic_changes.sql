-- migrate:up

ALTER TABLE clinics
-- Whether its system can be asked what has happened there beside us: bookings by phone, cancelled bookings.
ADD COLUMN reports_changes boolean NOT NULL DEFAULT FALSE;

-- How far each such clinic has been asked.
CREATE TABLE clinic_changes (
    clinic_id text PRIMARY KEY REFERENCES clinics,
    -- Its own cursor: up to where it was asked; null: all there is has to be read.
    mark text,
    next_at timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    read_at timestamptz
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE ON clinic_changes TO waiting_room_confirm;
GRANT INSERT, UPDATE, DELETE ON busy_times TO waiting_room_confirm;
GRANT SELECT ON clinic_changes TO waiting_room_audit;

-- migrate:down
REVOKE INSERT, UPDATE, DELETE ON busy_times FROM waiting_room_confirm;
DROP TABLE clinic_changes;
ALTER TABLE clinics DROP COLUMN reports_changes;
