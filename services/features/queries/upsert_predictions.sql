-- The first forecast for a time is the one that was acted upon.
INSERT INTO predictions SELECT * FROM staging_predictions
ON CONFLICT DO NOTHING;
