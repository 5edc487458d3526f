-- A record of an alert never changes; a later one is a row of its own.
INSERT INTO alerts SELECT * FROM staging_alerts
ON CONFLICT DO NOTHING;
