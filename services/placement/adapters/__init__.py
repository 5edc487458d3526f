"""gRPC in, Kafka out."""
