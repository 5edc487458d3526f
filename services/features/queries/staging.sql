-- Where COPY puts a batch, before one statement a table moves it. Each connection has its own; a commit empties them.
CREATE TEMPORARY TABLE staging_series (LIKE series) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE staging_feature_names (LIKE feature_names) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE staging_features (LIKE features) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE staging_scrapes (LIKE scrapes) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE staging_alerts (LIKE alerts) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE staging_predictions (LIKE predictions) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE staging_placements (LIKE placements) ON COMMIT DELETE ROWS;
