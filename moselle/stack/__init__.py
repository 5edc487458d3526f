"""The embedded stack: a real Apache Kafka and a real PostgreSQL as child processes, and the services beside them."""
