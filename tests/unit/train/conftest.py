"""These tests need torch: `make test` runs them with .venv-train, and an environment without it leaves them out."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]
