-- A decision changes when a newer outcome of it comes.
INSERT INTO placements SELECT * FROM staging_placements
ON CONFLICT (cluster, request_id, decided_at) DO UPDATE SET
    workload = excluded.workload,
    node = excluded.node,
    score = excluded.score,
    alternatives = excluded.alternatives,
    reasons = excluded.reasons,
    mode = excluded.mode,
    model_version = excluded.model_version,
    outcome = excluded.outcome,
    outcome_time = excluded.outcome_time,
    details = excluded.details
WHERE excluded.outcome_time > coalesce(placements.outcome_time, '-infinity');
