-- supersede --
-- Only the newest state of a key is worth publishing: an older one sent later would revive a revoked API key for a
-- moment.
DELETE FROM directory_outbox AS o
USING unnest($1::text[], $2::text[]) AS n (topic, key)
WHERE o.topic = n.topic AND o.key = n.key;

-- append --
INSERT INTO directory_outbox (topic, key, record)
SELECT
    n.topic,
    n.key,
    n.record
FROM unnest($1::text[], $2::text[], $3::jsonb[]) AS n (topic, key, record);
