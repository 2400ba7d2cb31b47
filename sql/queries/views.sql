-- Views of the dashboard by name.

-- name: all_views
SELECT id::text, name, query, changed_at FROM workspace.views ORDER BY lower(name), id;

-- name: add_view
INSERT INTO workspace.views (name, query) VALUES (:name, :query)
ON CONFLICT (name) DO NOTHING
RETURNING id::text;

-- name: another_view_of_name
SELECT id FROM workspace.views WHERE name = :name AND id <> :id::uuid;

-- name: change_view
UPDATE workspace.views AS v
SET name = coalesce(:name, v.name), query = coalesce(:query, v.query), changed_at = now()
WHERE id = :id::uuid
RETURNING id::text;

-- name: delete_view
DELETE FROM workspace.views WHERE id = :id::uuid RETURNING id::text;
