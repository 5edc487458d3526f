SELECT cluster, entity_id, feature_set, event_time, feature_set_version, step_seconds, ingest_time, parent_entity_ids,
    names, features."values"
FROM features JOIN feature_names USING (names_id)
WHERE event_time >= %(since)s AND event_time < %(until)s
    AND (%(entity_id)s::text IS NULL OR entity_id = %(entity_id)s)
ORDER BY event_time, cluster, entity_id, feature_set;
