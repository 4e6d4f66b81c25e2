-- migrate:up

-- Held, and not to be asked for at its clinic before it is known whether its patient may have the service.
ALTER TABLE appointments DROP CONSTRAINT appointments_stage_check;
ALTER TABLE appointments ADD CONSTRAINT appointments_stage_check
CHECK (stage IN ('accepted', 'held', 'verifying', 'confirming', 'waiting', 'offered', 'invited'));

ALTER TABLE service_types
-- Whether that is asked for, and what happens while nobody can say: the booking goes on, or waits.
ADD COLUMN eligibility text NOT NULL DEFAULT 'none' CHECK (eligibility IN ('none', 'fail_open', 'fail_closed'));

-- migrate:down
ALTER TABLE service_types DROP COLUMN eligibility;
UPDATE appointments SET stage = 'held'
WHERE stage = 'verifying';
ALTER TABLE appointments DROP CONSTRAINT appointments_stage_check;
ALTER TABLE appointments ADD CONSTRAINT appointments_stage_check
CHECK (stage IN ('accepted', 'held', 'confirming', 'waiting', 'offered', 'invited'));
