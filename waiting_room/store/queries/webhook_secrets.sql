-- current --
SELECT
    endpoint_id,
    secret_id,
    sealed,
    public_key,
    created_at
FROM webhook_secrets
WHERE endpoint_id = any($1::text[]) AND expires_at IS NULL;

-- expire --
-- The current ones of these endpoints sign for so much longer.
UPDATE webhook_secrets
SET expires_at = now() + make_interval(secs => $2)
WHERE endpoint_id = any($1::text[]) AND expires_at IS NULL;

-- add --
INSERT INTO webhook_secrets (endpoint_id, secret_id, sealed, public_key)
SELECT
    n.endpoint_id,
    n.secret_id,
    n.sealed,
    n.public_key
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[]) AS n (endpoint_id, secret_id, sealed, public_key);

-- found --
SELECT
    sealed,
    public_key
FROM webhook_secrets
WHERE endpoint_id = $1 AND secret_id = $2;

-- signing --
-- How many sign now.
SELECT count(*)
FROM webhook_secrets
WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > now());

-- all --
SELECT
    endpoint_id,
    secret_id,
    sealed
FROM webhook_secrets
WHERE expires_at IS NULL OR expires_at > now();

-- reseal --
UPDATE webhook_secrets
SET sealed = $3
WHERE endpoint_id = $1 AND secret_id = $2 AND sealed = $4;
