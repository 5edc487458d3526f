INSERT INTO series SELECT * FROM staging_series
ON CONFLICT (series_id) DO UPDATE SET last_day = excluded.last_day
WHERE excluded.last_day > series.last_day;
