SELECT cluster, entity_id, target, event_time, parent_entity_ids, step_seconds, horizons_seconds, predictions."values",
    quantile_levels, quantiles, confidence, spoken_by, model_version, valid_until, reasons
FROM predictions
WHERE event_time >= %(since)s AND event_time < %(until)s
    AND (%(entity_id)s::text IS NULL OR entity_id = %(entity_id)s)
ORDER BY event_time, cluster, entity_id, target;
