"""Nodes, constraints, factors and decisions: pure functions and what they hold in memory."""
