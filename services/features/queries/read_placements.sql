SELECT cluster, request_id, decided_at, workload, node, score, alternatives, reasons, mode, model_version, outcome,
    outcome_time, details
FROM placements
WHERE decided_at >= %(since)s AND decided_at < %(until)s
    AND (%(entity_id)s::text IS NULL OR node = %(entity_id)s)
ORDER BY decided_at, cluster, request_id;
