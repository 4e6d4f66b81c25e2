-- migrate:up

ALTER TABLE dose_shortages
-- When hold was last asked to rebook it to where there are doses.
ADD COLUMN asked_at timestamptz;

ALTER TABLE reschedules
-- The product whose shortage is why it is moved.
ADD COLUMN for_want_of text;
CREATE INDEX reschedules_for_want ON reschedules (clinic_id, requested_at) WHERE for_want_of IS NOT NULL;

GRANT UPDATE (asked_at) ON dose_shortages TO waiting_room_sweep;

-- migrate:down
REVOKE UPDATE (asked_at) ON dose_shortages FROM waiting_room_sweep;
ALTER TABLE reschedules DROP COLUMN for_want_of;
ALTER TABLE dose_shortages DROP COLUMN asked_at;
