-- The history of features.v1, metrics.samples.v1, predictions.v1 and placements.v1, divided by month. What is older or
-- newer than the months that maintain_history makes lies in a default partition until it does.

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
) PARTITION BY RANGE (event_time);

CREATE TABLE features_default PARTITION OF features DEFAULT;
CREATE INDEX features_time ON features USING brin (event_time);

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
) PARTITION BY RANGE (event_time);

CREATE TABLE scrapes_default PARTITION OF scrapes DEFAULT;
CREATE INDEX scrapes_time ON scrapes USING brin (event_time);

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
) PARTITION BY RANGE (event_time);

CREATE TABLE predictions_default PARTITION OF predictions DEFAULT;
CREATE INDEX predictions_time ON predictions USING brin (event_time);

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
) PARTITION BY RANGE (decided_at);

CREATE TABLE placements_default PARTITION OF placements DEFAULT;
CREATE INDEX placements_time ON placements USING brin (decided_at);

CREATE TABLE alerts_default PARTITION OF alerts DEFAULT;

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

-- What came of each job each hour: a hole in it is a collector that was away.
CREATE VIEW scrapes_hourly AS
SELECT date_bin('1 hour', event_time, '2000-01-01Z') AS hour, cluster, job,
    count(*) AS num_scrapes, sum(cardinality("values")) AS num_samples
FROM scrapes GROUP BY 1, 2, 3;

CREATE VIEW alerts_hourly AS
SELECT date_bin('1 hour', starts_at, '2000-01-01Z') AS hour, cluster, detector, severity, count(*) AS num_alerts
FROM alerts WHERE status = 'firing' GROUP BY 1, 2, 3, 4;

CREATE FUNCTION partition_column(parent regclass) RETURNS name
LANGUAGE sql STABLE AS $$
    SELECT attname FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
    WHERE partrelid = parent
$$;

-- As before; what the default partition holds of a new month moves there.
CREATE OR REPLACE FUNCTION create_month_partitions(parent regclass, first timestamptz, last timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    month timestamp := date_trunc('month', first AT TIME ZONE 'UTC');
    partition text;
    bounds text;
BEGIN
    WHILE month <= last AT TIME ZONE 'UTC' LOOP
        partition := parent::text || to_char(month, '_YYYY_MM');
        IF to_regclass(partition) IS NULL THEN
            bounds := format('(%1$I >= %2$L AND %1$I < %3$L)', partition_column(parent),
                month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', parent::text || '_default');
            EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS)', partition, parent);
            EXECUTE format('WITH moved AS (DELETE FROM %s WHERE %s RETURNING *) INSERT INTO %s SELECT * FROM moved',
                parent::text || '_default', bounds, partition);
            EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', parent, partition,
                month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        END IF;
        month := month + interval '1 month';
    END LOOP;
END $$;

-- As before; the default partition stays, and loses its rows before `before`.
CREATE OR REPLACE FUNCTION drop_old_partitions(parent regclass, before timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    partition regclass;
    dropped integer := 0;
BEGIN
    FOR partition IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = parent LOOP
        IF partition::text LIKE '%\_default' THEN
            EXECUTE format('DELETE FROM %s WHERE %I < %L', partition, partition_column(parent), before);
        ELSIF to_date(right(partition::text, 7), 'YYYY_MM') + interval '1 month' <= before AT TIME ZONE 'UTC' THEN
            EXECUTE format('DROP TABLE %s', partition);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
END $$;

-- The history writer calls this once a day: partitions for the months that are kept and the next two, and away with what
-- is older than `keep`. Returns how many partitions went. Of two writers that come together one does it.
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
        PERFORM create_month_partitions(parent, at - keep, at + interval '2 months');
        dropped := dropped + drop_old_partitions(parent, at - keep);
    END LOOP;
    -- Rows outlive `keep` until their whole partition is older.
    DELETE FROM series WHERE last_day < (at - keep) AT TIME ZONE 'UTC' - interval '2 months';
    RETURN dropped;
END $$;
