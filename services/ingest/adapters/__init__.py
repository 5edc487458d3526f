"""Where ingest touches what is outside."""
