-- Links to read with.

-- name: all_shares
SELECT id::text, name, filters, created_at, expires_at FROM workspace.shares
WHERE expires_at > now()
ORDER BY created_at DESC, id;

-- name: add_share
INSERT INTO workspace.shares (name, filters, expires_at)
VALUES (:name, :filters::jsonb, now() + make_interval(days => :days))
RETURNING id::text, expires_at;

-- name: share
SELECT id::text, name, filters, expires_at FROM workspace.shares
WHERE id = :id::uuid AND expires_at > now();

-- name: revoke_share
DELETE FROM workspace.shares WHERE id = :id::uuid RETURNING id::text;

-- name: delete_expired_shares
DELETE FROM workspace.shares WHERE expires_at < now() - interval '30 days';

-- name: share_secret
SELECT secret FROM workspace.share_secret;

-- name: make_share_secret
INSERT INTO workspace.share_secret (secret) VALUES (:secret) ON CONFLICT DO NOTHING;
