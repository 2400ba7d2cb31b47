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

-- name: delete_messages_to_others
-- Nothing goes to people who were taken out of an alert.
DELETE FROM workspace.alert_messages AS m
USING workspace.alerts AS a
WHERE a.id = :id::uuid AND m.alert_id = a.id AND m.recipient IS DISTINCT FROM a.webhook
    AND m.recipient <> ALL (SELECT 'mailto:' || e FROM unnest(a.emails) AS e);

-- name: delete_alert
DELETE FROM workspace.alerts WHERE id = :id::uuid RETURNING id::text;

-- name: add_test_messages
INSERT INTO workspace.alert_messages (alert_id, recipient, message, attempts, next_at)
SELECT a.id, r.recipient, jsonb_build_object('kind', 'test'), :attempts, :next_at
FROM workspace.alerts AS a,
    LATERAL (
        SELECT 'mailto:' || e AS recipient FROM unnest(a.emails) AS e
        UNION ALL
        SELECT a.webhook WHERE a.webhook IS NOT NULL
    ) AS r
WHERE a.id = :id::uuid
RETURNING id::text, alert_id::text, recipient, message, attempts, made_at;

-- name: claim_alert
-- Whoever judges it has it until a time; should that end without a word, another judges it then.
UPDATE workspace.alerts
SET next_at = :until
WHERE id = (
    SELECT id FROM workspace.alerts
    WHERE next_at <= :now ORDER BY next_at FOR UPDATE SKIP LOCKED LIMIT 1
)
RETURNING id::text, name, rule, emails, webhook, changed_at, judged, firing_since;

-- name: alert_named
SELECT id::text, name, rule, emails, webhook, changed_at, judged, firing_since
FROM workspace.alerts WHERE name = :name;

-- name: alerts_to_try
SELECT id::text, name, rule, emails, webhook, changed_at, judged, firing_since
FROM workspace.alerts ORDER BY lower(name), id;

-- name: store_verdict
-- Nothing where somebody has changed the alert meanwhile: it is judged anew.
UPDATE workspace.alerts
SET judged = :judged, firing_since = :firing_since, next_at = :next_at, checked_at = :now,
    value = CASE WHEN :looked THEN :value ELSE value END,
    compared = CASE WHEN :looked THEN :compared ELSE compared END,
    check_error = NULL
WHERE id = :id::uuid AND changed_at = :changed_at
RETURNING id::text;

-- name: store_check_error
UPDATE workspace.alerts SET next_at = :next_at, checked_at = :now, check_error = :error
WHERE id = :id::uuid AND changed_at = :changed_at
RETURNING id::text;

-- name: add_message
INSERT INTO workspace.alert_messages (alert_id, recipient, message, next_at)
VALUES (:id::uuid, :recipient, :message::jsonb, :now)
RETURNING id::text;

-- name: claim_messages
UPDATE workspace.alert_messages AS m
SET attempts = m.attempts + 1, next_at = :until
FROM workspace.alerts AS a
WHERE a.id = m.alert_id AND m.id IN (
    SELECT id FROM workspace.alert_messages_in_order
    WHERE next_at <= :now ORDER BY next_at FOR UPDATE SKIP LOCKED LIMIT :most
)
RETURNING m.id::text, m.alert_id::text, a.name, m.recipient, m.message, m.attempts, m.made_at;

-- name: waiting_messages
-- What an alert has not told yet, by recipient, and when the first of it is tried again.
SELECT m.recipient, count(*) AS messages, min(m.made_at) AS since,
    (array_agg(m.next_at ORDER BY m.made_at, m.id))[1] AS next_at,
    a.send_errors ->> m.recipient AS error
FROM workspace.alert_messages AS m
JOIN workspace.alerts AS a ON a.id = m.alert_id
WHERE m.alert_id = :id::uuid AND m.message ->> 'kind' <> 'test'
GROUP BY a.id, m.recipient
ORDER BY m.recipient;

-- name: delete_message
DELETE FROM workspace.alert_messages WHERE id = :id::uuid RETURNING id::text;

-- name: count_attempt
UPDATE workspace.alert_attempts SET attempts = attempts + 1
WHERE channel = :channel AND outcome = :outcome
RETURNING channel;

-- name: put_message_off
UPDATE workspace.alert_messages SET next_at = :next_at WHERE id = :id::uuid RETURNING id::text;

-- name: note_sent
UPDATE workspace.alerts SET notified_at = :now, send_errors = send_errors - :recipient
WHERE id = :id::uuid
RETURNING id::text;

-- name: note_not_sent
-- Nothing where the recipient was taken out of the alert while the message was under way.
UPDATE workspace.alerts
SET send_errors = send_errors || jsonb_build_object(:recipient::text, :error::text)
WHERE id = :id::uuid AND EXISTS (SELECT FROM workspace.alert_messages WHERE id = :message::uuid)
RETURNING id::text;
