"""Ingest without I/O: bytes to lines, lines to events."""
