-- The history of alerts.v1, one row per record: a hypertable on starts_at that keeps six months.

CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE alerts (
    fingerprint text NOT NULL,
    alert_id text NOT NULL,
    revision integer NOT NULL,
    status text NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz,
    detected_at timestamptz NOT NULL,
    published_at timestamptz NOT NULL,
    cluster text NOT NULL,
    entity_id text NOT NULL,
    parent_entity_ids text[] NOT NULL DEFAULT '{}',
    service text NOT NULL,
    detector text NOT NULL,
    rule text NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL,
    score double precision NOT NULL,
    threshold double precision NOT NULL,
    summary text NOT NULL,
    reason text NOT NULL,
    evidence jsonb NOT NULL DEFAULT '[]',
    mentions text[] NOT NULL DEFAULT '{}',
    labels jsonb NOT NULL DEFAULT '{}',
    model_version text NOT NULL,
    runbook_url text NOT NULL,
    -- Consumers know a record by (alert_id, status, revision). starts_at is the same in all records of an alert;
    -- it stands here because a key must hold the column by which the table is divided.
    PRIMARY KEY (alert_id, status, revision, starts_at)
) WITH (
    tsdb.hypertable,
    tsdb.partition_column = 'starts_at',
    tsdb.chunk_interval = '7 days',
    -- A record may be written again: few rows, so they stay rows.
    tsdb.columnstore = false
);

CREATE INDEX alerts_entity ON alerts (entity_id, starts_at DESC);

SELECT add_retention_policy('alerts', INTERVAL '6 months');
