-- migrate:up
-- Rows of those who wait no more stay until their bookings are archived: who looks for waits that are over reads those
-- that are still on, and of these the ones whose time has passed.
ALTER TABLE waitlist ADD COLUMN waits boolean NOT NULL DEFAULT TRUE;
UPDATE waitlist AS w
SET waits = FALSE
FROM appointments AS a
WHERE a.clinic_id = w.clinic_id AND a.booking_ref = w.booking_ref AND a.status <> 'waitlisted';
CREATE INDEX waitlist_over ON waitlist (to_at) WHERE waits;

-- Whoever ends a wait.
GRANT UPDATE (waits) ON waitlist TO waiting_room_hold, waiting_room_sweep, waiting_room_ingress;

-- migrate:down
REVOKE UPDATE (waits) ON waitlist FROM waiting_room_hold, waiting_room_sweep, waiting_room_ingress;
ALTER TABLE waitlist DROP COLUMN waits;
