-- migrate:up

-- Kept as it is published and read whole; taking it apart for storage, and putting it together for each reader, cost more
-- than everything else about an event.
ALTER TABLE appointment_events ALTER COLUMN record TYPE json USING record::json;

-- migrate:down
ALTER TABLE appointment_events ALTER COLUMN record TYPE jsonb USING record::jsonb;
