-- The history of features.v1, metrics.samples.v1, predictions.v1 and placements.v1 as hypertables. What is seven days old
-- goes to the columnstore, each segment holding what one query asks for; late rows are upserted there too.

-- The names of a feature vector, once for all rows that have them. The id is the hash of the names.
CREATE TABLE feature_names (
    names_id bigint PRIMARY KEY,
    names text[] NOT NULL
);

-- The series of scrapes. The id is the hash of the name; last_day, UTC, is the newest event time of a scrape with it.
CREATE TABLE series (
    series_id bigint PRIMARY KEY,
    name text NOT NULL,
    last_day date NOT NULL
);

-- One row per entity, step and feature set: the first that was published of the highest version.
CREATE TABLE features (
    cluster text NOT NULL,
    entity_id text NOT NULL,
    feature_set text NOT NULL,
    event_time timestamptz NOT NULL,
    feature_set_version integer NOT NULL,
    step_seconds integer NOT NULL,
    ingest_time timestamptz NOT NULL,
    parent_entity_ids text[] NOT NULL,
    names_id bigint NOT NULL,
    "values" double precision[] NOT NULL,
    PRIMARY KEY (cluster, entity_id, feature_set, event_time)
) WITH (
    tsdb.hypertable,
    tsdb.partition_column = 'event_time',
    tsdb.chunk_interval = '7 days',
    tsdb.segmentby = 'cluster, entity_id, feature_set',
    tsdb.orderby = 'event_time DESC'
);

-- One row per entity, time and job, whatever parts the scrape arrived in: series_ids ascending, a value each.
CREATE TABLE scrapes (
    cluster text NOT NULL,
    entity_id text NOT NULL,
    event_time timestamptz NOT NULL,
    job text NOT NULL,
    ingest_time timestamptz NOT NULL,
    parent_entity_ids text[] NOT NULL,
    series_ids bigint[] NOT NULL,
    "values" double precision[] NOT NULL,
    PRIMARY KEY (cluster, entity_id, event_time, job)
) WITH (
    tsdb.hypertable,
    tsdb.partition_column = 'event_time',
    tsdb.chunk_interval = '1 day',
    tsdb.segmentby = 'cluster, entity_id, job',
    tsdb.orderby = 'event_time DESC'
);

-- One row per entity, target and time it was made for. quantiles has a row a horizon, a column a level.
CREATE TABLE predictions (
    cluster text NOT NULL,
    entity_id text NOT NULL,
    target text NOT NULL,
    event_time timestamptz NOT NULL,
    parent_entity_ids text[] NOT NULL,
    step_seconds integer NOT NULL,
    horizons_seconds integer[] NOT NULL,
    "values" double precision[] NOT NULL,
    quantile_levels double precision[] NOT NULL,
    quantiles double precision[][] NOT NULL,
    confidence double precision NOT NULL,
    spoken_by text NOT NULL,
    model_version text NOT NULL,
    valid_until timestamptz NOT NULL,
    reasons text[] NOT NULL,
    PRIMARY KEY (cluster, entity_id, target, event_time)
) WITH (
    tsdb.hypertable,
    tsdb.partition_column = 'event_time',
    tsdb.chunk_interval = '7 days',
    tsdb.segmentby = 'cluster, entity_id, target',
    tsdb.orderby = 'event_time DESC'
);

-- One row per decision, with the newest outcome. details holds the record's other fields as they are.
CREATE TABLE placements (
    cluster text NOT NULL,
    request_id text NOT NULL,
    decided_at timestamptz NOT NULL,
    workload text NOT NULL,
    node text NOT NULL,
    score double precision NOT NULL,
    alternatives jsonb NOT NULL,
    reasons jsonb NOT NULL,
    mode text NOT NULL,
    model_version text NOT NULL,
    outcome text,
    outcome_time timestamptz,
    details jsonb NOT NULL,
    PRIMARY KEY (cluster, request_id, decided_at)
) WITH (
    tsdb.hypertable,
    tsdb.partition_column = 'decided_at',
    tsdb.chunk_interval = '7 days',
    -- Outcomes come later: few rows, so they stay rows.
    tsdb.columnstore = false
);

-- Making the tables added policies of their own choice, which a second one would not replace.
CALL remove_columnstore_policy('features', if_exists => true);
CALL remove_columnstore_policy('scrapes', if_exists => true);
CALL remove_columnstore_policy('predictions', if_exists => true);
CALL add_columnstore_policy('features', after => INTERVAL '7 days');
CALL add_columnstore_policy('scrapes', after => INTERVAL '7 days');
CALL add_columnstore_policy('predictions', after => INTERVAL '7 days');

-- Whether a part of a scrape brings a series that its row lacks.
CREATE FUNCTION adds_series(present bigint[], added bigint[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT present <> added AND EXISTS (SELECT unnest(added) EXCEPT SELECT unnest(present))
$$;

-- The series of both, ascending.
CREATE FUNCTION join_series(present bigint[], added bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(id ORDER BY id) FROM (SELECT unnest(present) AS id UNION SELECT unnest(added)) AS both_ids
$$;

-- Their values in that order; of a series that both have, the one that is present.
CREATE FUNCTION join_values(
    present bigint[], present_values double precision[], added bigint[], added_values double precision[]
) RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(value ORDER BY id) FROM (
        SELECT DISTINCT ON (id) id, value FROM (
            SELECT 1 AS turn, id, value FROM unnest(present, present_values) AS pairs(id, value)
            UNION ALL
            SELECT 2, id, value FROM unnest(added, added_values) AS pairs(id, value)
        ) AS both_pairs ORDER BY id, turn
    ) AS first_pairs
$$;

-- The newest record of each alert.
CREATE VIEW alerts_latest AS
SELECT DISTINCT ON (alert_id) * FROM alerts ORDER BY alert_id, revision DESC;

-- What came of each job each hour: a hole in it is a collector that was away. Rows that come late for an hour that was
-- added up already show at the next refresh.
CREATE MATERIALIZED VIEW scrapes_hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 hour', event_time) AS hour, cluster, job,
    count(*) AS num_scrapes, sum(cardinality("values")) AS num_samples
FROM scrapes GROUP BY 1, 2, 3
WITH NO DATA;

CREATE MATERIALIZED VIEW alerts_hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 hour', starts_at) AS hour, cluster, detector, severity, count(*) AS num_alerts
FROM alerts WHERE status = 'firing' GROUP BY 1, 2, 3, 4
WITH NO DATA;

-- Without a start: a capture of last month that is replayed today is added up too.
SELECT add_continuous_aggregate_policy(name, NULL, INTERVAL '1 hour', INTERVAL '30 minutes')
FROM unnest(ARRAY['scrapes_hourly', 'alerts_hourly']::regclass[]) AS name;

-- The history writer calls this once a day: retention policies of `keep`, and away with what is older. Returns how many
-- chunks went. Of two writers that come together one does it.
CREATE FUNCTION maintain_history(at timestamptz, keep interval) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    parent regclass;
    dropped integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('maintain_history')) THEN
        RETURN 0;
    END IF;
    FOREACH parent IN ARRAY ARRAY['alerts', 'features', 'scrapes', 'predictions', 'placements']::regclass[] LOOP
        IF NOT EXISTS (
            SELECT FROM timescaledb_information.jobs
            WHERE proc_name = 'policy_retention' AND format('%I.%I', hypertable_schema, hypertable_name)::regclass = parent
                AND config ->> 'drop_after' = keep::text
        ) THEN
            PERFORM remove_retention_policy(parent, if_exists => true);
            PERFORM add_retention_policy(parent, keep);
        END IF;
        dropped := dropped + (SELECT count(*) FROM drop_chunks(parent, older_than => at - keep));
    END LOOP;
    -- Rows outlive `keep` until their whole partition is older.
    DELETE FROM series WHERE last_day < (at - keep) AT TIME ZONE 'UTC' - interval '2 months';
    RETURN dropped;
END $$;
