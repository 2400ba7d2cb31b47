-- What happened, to be marked on curves.

-- name: annotations
SELECT id::text, time, label
FROM workspace.annotations
WHERE time >= coalesce(:from_time::timestamptz, '-infinity') AND time < coalesce(:to_time::timestamptz, 'infinity')
ORDER BY time DESC, id
LIMIT :limit;

-- name: add_annotation
INSERT INTO workspace.annotations (time, label) VALUES (:time, :label) RETURNING id::text;

-- name: delete_annotation
DELETE FROM workspace.annotations WHERE id = :id::uuid RETURNING id::text;
