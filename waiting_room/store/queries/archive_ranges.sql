-- take_time --
-- A month may be a lot.
SELECT set_config('transaction_timeout', '0', FALSE);

-- attached --
-- Months in which archived bookings are found, and those that are just being detached.
SELECT
    c.relname::text AS name,
    i.inhdetachpending AS going
FROM pg_inherits AS i
INNER JOIN pg_class AS c ON i.inhrelid = c.oid
WHERE i.inhparent = 'archived_bookings'::regclass
ORDER BY c.relname;

-- loose --
-- Months that are detached and stand where they stood.
SELECT c.relname::text AS name
FROM pg_class AS c
INNER JOIN pg_class AS p ON c.relnamespace = p.relnamespace AND p.oid = 'archived_bookings'::regclass
WHERE c.relname ~ '^archived_bookings_\d{4}_\d\d$' AND c.relkind = 'r' AND NOT c.relispartition
ORDER BY c.relname;

-- put_away --
-- Months that were put away.
SELECT c.relname::text AS name
FROM pg_class AS c
INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
WHERE n.nspname = 'archive' AND c.relname ~ '^archived_bookings_\d{4}_\d\d$'
ORDER BY c.relname;

-- count_elsewhere --
-- To be executed: how much of each clinic's is in this month.
SELECT
    format(
        $$
        INSERT INTO archived_elsewhere (range_name, clinic_id, bookings, tickets, events)
        SELECT
            %L AS range_name,
            z.clinic_id,
            count(*) AS bookings,
            count(z.document #>> '{appointment,ticket}') AS tickets,
            sum(jsonb_array_length(z.document -> 'events')) AS events
        FROM %I AS z
        GROUP BY z.clinic_id
        ON CONFLICT (range_name, clinic_id) DO UPDATE
            SET bookings = excluded.bookings, tickets = excluded.tickets, events = excluded.events
        $$,
        $1::text, $1::text
    );

-- detach --
-- To be executed outside a transaction. It waits for those who use the table; nobody waits for it.
SELECT format('ALTER TABLE archived_bookings DETACH PARTITION %I CONCURRENTLY', $1::text);

-- detach_again --
-- The same where it was interrupted.
SELECT format('ALTER TABLE archived_bookings DETACH PARTITION %I FINALIZE', $1::text);

-- move --
-- To be executed.
SELECT format('ALTER TABLE %I SET SCHEMA archive', $1::text);

-- lines --
-- To be copied: a line for each booking, all of its row as one object.
SELECT format('SELECT to_jsonb(z) FROM archive.%I AS z ORDER BY clinic_id, booking_ref', $1::text);

-- drop --
-- To be executed.
SELECT format('DROP TABLE archive.%I', $1::text);
