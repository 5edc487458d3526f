"""What is measured of ingest on labelled recordings. Nothing here runs in the service."""
