-- The first row of a step stays, unless a higher version of the feature set comes, or the first was made by a clock that
-- was ahead (core/history.py, AHEAD_MICROS).
INSERT INTO features SELECT * FROM staging_features
ON CONFLICT (cluster, entity_id, feature_set, event_time) DO UPDATE SET
    feature_set_version = excluded.feature_set_version,
    step_seconds = excluded.step_seconds,
    ingest_time = excluded.ingest_time,
    parent_entity_ids = excluded.parent_entity_ids,
    names_id = excluded.names_id,
    "values" = excluded."values"
WHERE (excluded.feature_set_version, excluded.event_time <= excluded.ingest_time + interval '10 minutes')
    > (features.feature_set_version, features.event_time <= features.ingest_time + interval '10 minutes');
