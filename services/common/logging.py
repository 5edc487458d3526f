"""structlog, one JSON object a line on standard error: a constant event name and fields."""

import logging
import sys
from typing import Any

import structlog


def configure_logging(level: str, **bound: Any) -> None:
    """Sets logging up for a process; `bound` stands in each line, e.g. service and replica."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**bound)


def get_logger() -> Any:
    """The logger; call it where it is used, after `configure_logging`."""
    return structlog.get_logger()
