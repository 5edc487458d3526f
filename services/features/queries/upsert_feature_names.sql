INSERT INTO feature_names SELECT * FROM staging_feature_names
ON CONFLICT DO NOTHING;
