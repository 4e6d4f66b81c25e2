-- migrate:up

-- 'not_moved-17': that event number 17 of the clinic was a wish for another time that came to nothing.
ALTER TABLE notifications DROP CONSTRAINT notifications_kind_check;
ALTER TABLE notifications ADD CONSTRAINT notifications_kind_check CHECK (
    kind ~ '^(confirmed|rejected|cancelled|rescheduled|offered|not_moved-[1-9][0-9]*|reminder-[1-9][0-9]*[mhd])$'
);
-- Why it came to nothing stands in the event.
GRANT SELECT (clinic_id, seq, record) ON appointment_events TO waiting_room_notify;

-- migrate:down
DELETE FROM notifications
WHERE kind LIKE 'not_moved-%';
ALTER TABLE notifications DROP CONSTRAINT notifications_kind_check;
ALTER TABLE notifications ADD CONSTRAINT notifications_kind_check CHECK (
    kind ~ '^(confirmed|rejected|cancelled|rescheduled|offered|reminder-[1-9][0-9]*[mhd])$'
);
REVOKE SELECT (clinic_id, seq, record) ON appointment_events FROM waiting_room_notify;
