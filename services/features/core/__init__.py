"""Features as pure functions; the step machine that feeds them from streams, the batch that feeds them from files."""
