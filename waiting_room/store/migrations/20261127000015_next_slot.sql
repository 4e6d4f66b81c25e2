-- migrate:up

ALTER TABLE appointments
-- Of a booking that named a range: starts before this would do as well. Its next fitting one is tried where its clinic
-- says that the one it was given is gone.
ADD COLUMN range_to timestamptz;

-- migrate:down
ALTER TABLE appointments DROP COLUMN range_to;
