"""What a caller of placement is told. Each becomes one gRPC status code.

MoselleError
├── InvalidRequest   INVALID_ARGUMENT: it can never work; change the request
├── NotReady         FAILED_PRECONDITION: the matrix is stale; come again or decide without us
├── NotKnown         NOT_FOUND: no such decision or node here
├── TooMany          RESOURCE_EXHAUSTED: too many wait; come again later
└── TooLate          DEADLINE_EXCEEDED: the caller has gone; nothing was decided
"""

from services.common.errors import MoselleError


class InvalidRequest(MoselleError):
    """A request that can never work: a negative size, a contradiction, a repeated id with another content."""


class NotReady(MoselleError):
    """The engine cannot answer now, since what it knows is missing or old."""


class NotKnown(MoselleError):
    """A request_id or a node that is not known here."""


class TooMany(MoselleError):
    """Too many requests or watchers at once."""


class TooLate(MoselleError):
    """Nobody waits for the answer any more: the deadline has passed, or the caller has gone."""
