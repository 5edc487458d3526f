SELECT fingerprint, alert_id, revision, status, starts_at, ends_at, detected_at, published_at, cluster, entity_id,
    parent_entity_ids, service, detector, rule, kind, severity, score, threshold, summary, reason, evidence, mentions,
    labels, model_version, runbook_url
FROM alerts
WHERE starts_at >= %(since)s AND starts_at < %(until)s
    AND (%(entity_id)s::text IS NULL OR entity_id = %(entity_id)s)
ORDER BY starts_at, alert_id, status, revision;
