"""What ingest learns: the template miner."""
