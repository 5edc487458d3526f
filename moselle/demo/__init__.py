"""The demonstration: a recorded OpenStack replayed through the whole system, and a report of what it found."""
