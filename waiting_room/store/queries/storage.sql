-- only_one --
SELECT pg_try_advisory_lock(hashtext('waiting_room storage'));

-- today --
SELECT (now() AT TIME ZONE 'UTC')::date;

-- be_brief --
-- Who changes what everybody uses waits for others no longer than this, since others wait behind it.
SELECT set_config('lock_timeout', '50ms', FALSE);

-- ranges --
-- The months in which seats can be claimed, and those that are being detached.
SELECT
    name,
    first_day,
    until_day,
    going
FROM claim_ranges
ORDER BY first_day;

-- add --
SELECT add_claim_ranges($1::date, $2::date);

-- detach --
-- To be executed outside a transaction. It waits for those who use the table; nobody waits for it.
SELECT format('ALTER TABLE seat_claims DETACH PARTITION %I CONCURRENTLY', $1::text);

-- detach_again --
-- The same where it was interrupted.
SELECT format('ALTER TABLE seat_claims DETACH PARTITION %I FINALIZE', $1::text);

-- detached --
-- Months that are detached and stand where they stood.
SELECT c.relname::text AS name
FROM pg_class AS c
INNER JOIN pg_class AS s ON c.relnamespace = s.relnamespace AND s.oid = 'seat_claims'::regclass
WHERE c.relname ~ '^seat_claims_\d{4}_\d\d$' AND c.relkind = 'p' AND NOT c.relispartition
ORDER BY c.relname;

-- put_away --
-- To be executed, one after the other: its bookings are free to go elsewhere, and the month goes to the schema archive
-- with its parts.
SELECT format('ALTER TABLE %I DROP CONSTRAINT %I', $1::text, conname) AS statement
FROM pg_constraint
WHERE conrelid = $1::text::regclass AND contype = 'f'
UNION ALL
SELECT format('ALTER TABLE %s SET SCHEMA archive', relid::regclass) AS statement
FROM pg_partition_tree($1::text::regclass);

-- archived --
SELECT c.relname::text AS name
FROM pg_class AS c
INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
WHERE n.nspname = 'archive' AND c.relname ~ '^seat_claims_\d{4}_\d\d$'
ORDER BY c.relname;

-- drop --
-- To be executed.
SELECT format('DROP TABLE archive.%I', $1::text);
