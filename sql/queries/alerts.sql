-- Alerts and summaries, and the messages that they send.

-- name: all_alerts
SELECT
    a.id::text, a.name, a.rule, a.emails, a.webhook, a.judged, a.firing_since, a.value::text,
    a.compared::text, a.checked_at, a.notified_at, a.check_error, a.send_errors,
    (SELECT count(*) FROM workspace.alert_messages AS m WHERE m.alert_id = a.id) AS waiting
FROM workspace.alerts AS a
ORDER BY lower(a.name), a.id;

-- name: count_alerts
SELECT count(*) AS alerts FROM workspace.alerts;

-- name: add_alert
INSERT INTO workspace.alerts (name, rule, emails, webhook)
VALUES (:name, :rule::jsonb, :emails, :webhook)
ON CONFLICT (name) DO NOTHING
RETURNING id::text;

-- name: another_alert_of_name
SELECT id FROM workspace.alerts WHERE name = :name AND id <> :id::uuid;

-- name: change_alert
-- Of another rule nothing is known yet; one whose people changed goes on as it stands.
WITH before AS (
    SELECT id, rule <> :rule::jsonb AS other FROM workspace.alerts WHERE id = :id::uuid FOR UPDATE
)
UPDATE workspace.alerts AS a
SET name = :name, rule = :rule::jsonb, emails = :emails, webhook = :webhook, changed_at = now(),
    next_at = now(), check_error = NULL, send_errors = '{}',
    judged = CASE WHEN NOT b.other THEN a.judged END,
    firing_since = CASE WHEN NOT b.other THEN a.firing_since END,
    value = CASE WHEN NOT b.other THEN a.value END,
    compared = CASE WHEN NOT b.other THEN a.compared END
FROM before AS b
WHERE a.id = b.id
RETURNING a.id::text;

-- name: delete_alert
DELETE FROM workspace.alerts WHERE id = :id::uuid RETURNING id::text;

-- name: add_test_messages
INSERT INTO workspace.alert_messages (alert_id, recipient, message)
SELECT a.id, r.recipient, jsonb_build_object('kind', 'test')
FROM workspace.alerts AS a,
    LATERAL (
        SELECT 'mailto:' || e AS recipient FROM unnest(a.emails) AS e
        UNION ALL
        SELECT a.webhook WHERE a.webhook IS NOT NULL
    ) AS r
WHERE a.id = :id::uuid;
