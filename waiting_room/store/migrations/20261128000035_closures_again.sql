-- migrate:up

ALTER TABLE clinic_closures
-- When hold was last asked once more to move who is booked then.
ADD COLUMN asked_at timestamptz;

GRANT SELECT ON clinic_closures, availability_overrides TO waiting_room_sweep;
GRANT UPDATE (asked_at) ON clinic_closures TO waiting_room_sweep;

-- migrate:down
REVOKE UPDATE (asked_at) ON clinic_closures FROM waiting_room_sweep;
REVOKE SELECT ON clinic_closures, availability_overrides FROM waiting_room_sweep;
ALTER TABLE clinic_closures DROP COLUMN asked_at;
