SELECT cluster, entity_id, event_time, job, ingest_time, parent_entity_ids, series_ids AS series, scrapes."values"
FROM scrapes
WHERE event_time >= %(since)s AND event_time < %(until)s
    AND (%(entity_id)s::text IS NULL OR entity_id = %(entity_id)s)
ORDER BY event_time, cluster, entity_id, job;
