"""Errors, named after what the caller should do.

MoselleError
├── SettingsInvalid    stop before joining a consumer group
├── InvalidMessage     can never work: dead-letter it with its reason; go on
├── Retryable          may work later: back off, do not commit
└── ArtifactMismatch   weights, vocabulary, settings or a saved state disagree: refuse to serve

A message names the thing, the value seen, the value wanted, and the remedy.
"""


class MoselleError(Exception):
    """Whatever Moselle raises on purpose. Its text is one sentence that a user can act on."""


class SettingsInvalid(MoselleError):
    """A setting, a port, a topic or a server is not as it must be. Stop, non-zero, before joining a group."""


class InvalidMessage(MoselleError):
    """A message that can never be read. It goes to the dead-letter topic.

    Args:
        reason: a constant snake_case word for counting, such as `not_utf8`.
        detail: what was seen, for people.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Retryable(MoselleError):
    """A server did not answer or an operation was aborted. Back off and try again; nothing was committed."""


class ArtifactMismatch(MoselleError):
    """An artifact or a saved state does not fit the program that loads it. Refuse to serve."""
