-- name: spend_entries
SELECT day, source, campaign_id, amount, imported_at
FROM workspace.spend
WHERE (:first_day::date IS NULL OR day >= :first_day)
  AND (:end_day::date IS NULL OR day < :end_day)
  AND (:source::text IS NULL OR source = :source)
  AND (:campaign_id::text IS NULL OR campaign_id = :campaign_id)
ORDER BY day DESC, source, campaign_id
LIMIT :limit;

-- name: spend_total
SELECT count(*) AS entries, coalesce(sum(amount), 0) AS amount
FROM workspace.spend
WHERE (:first_day::date IS NULL OR day >= :first_day)
  AND (:end_day::date IS NULL OR day < :end_day)
  AND (:source::text IS NULL OR source = :source)
  AND (:campaign_id::text IS NULL OR campaign_id = :campaign_id);
