-- lock_keys --
-- Keeps others from making or revoking keys until the transaction ends; readers go on.
LOCK TABLE access_keys IN SHARE MODE;

-- unknown_owners --
SELECT
    n.owner_kind,
    n.owner_id
FROM unnest($1::text[], $2::text[]) AS n (owner_kind, owner_id)
LEFT JOIN apps AS a ON n.owner_kind = 'app' AND n.owner_id = a.app_id
LEFT JOIN clinics AS c ON n.owner_kind = 'clinic' AND n.owner_id = c.clinic_id
WHERE n.owner_kind <> 'operator' AND a.app_id IS NULL AND c.clinic_id IS NULL;

-- insert_keys --
INSERT INTO access_keys (key_id, owner_kind, owner_id, secret_hash, scopes, expires_at)
SELECT
    n.key_id,
    n.owner_kind,
    n.owner_id,
    decode(n.secret_hash, 'hex') AS secret_hash,
    n.scopes,
    n.expires_at
FROM
    jsonb_to_recordset($1)
        AS n (
            key_id text, owner_kind text, owner_id text, secret_hash text, scopes text[], expires_at timestamptz
        );

-- revoke_key --
-- A key stays revoked from when it first was.
UPDATE access_keys
SET revoked_at = coalesce(revoked_at, now())
WHERE key_id = $1
RETURNING key_id, owner_kind, owner_id, secret_hash, scopes, created_at, expires_at, revoked_at;

-- load_keys --
SELECT
    key_id,
    owner_kind,
    owner_id,
    secret_hash,
    scopes,
    created_at,
    expires_at,
    revoked_at
FROM access_keys
ORDER BY created_at, key_id;
