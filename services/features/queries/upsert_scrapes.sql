-- The parts of a scrape become one row; a series that is there keeps its value.
INSERT INTO scrapes SELECT * FROM staging_scrapes
ON CONFLICT (cluster, entity_id, event_time, job) DO UPDATE SET
    series_ids = join_series(scrapes.series_ids, excluded.series_ids),
    "values" = join_values(scrapes.series_ids, scrapes."values", excluded.series_ids, excluded."values")
WHERE adds_series(scrapes.series_ids, excluded.series_ids);
