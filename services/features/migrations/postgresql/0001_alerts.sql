-- The history of alerts.v1, one row per record, divided by month of starts_at.
-- The writer calls create_month_partitions for the months it is about to write, drop_old_partitions once a day.

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
) PARTITION BY RANGE (starts_at);

CREATE INDEX alerts_entity ON alerts (entity_id, starts_at DESC);

-- Makes the partitions of `parent` for all months from that of `first` to that of `last`, UTC. Those that are there stay.
CREATE FUNCTION create_month_partitions(parent regclass, first timestamptz, last timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    month timestamp := date_trunc('month', first AT TIME ZONE 'UTC');
BEGIN
    WHILE month <= last AT TIME ZONE 'UTC' LOOP
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF %s FOR VALUES FROM (%L) TO (%L)',
            parent::text || to_char(month, '_YYYY_MM'), parent,
            month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        month := month + interval '1 month';
    END LOOP;
END $$;

-- Drops the partitions of `parent` whose month ended before `before`, UTC; returns how many.
CREATE FUNCTION drop_old_partitions(parent regclass, before timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    partition regclass;
    dropped integer := 0;
BEGIN
    FOR partition IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = parent LOOP
        IF to_date(right(partition::text, 7), 'YYYY_MM') + interval '1 month' <= before AT TIME ZONE 'UTC' THEN
            EXECUTE format('DROP TABLE %s', partition);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
END $$;
