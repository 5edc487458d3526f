"""The feature service's ways to Kafka, the database and gRPC."""
