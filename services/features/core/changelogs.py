"""The tables of the Faust app and the topics that keep them."""

from services.common.topics import MAX_RECORD_BYTES

APP_ID = "moselle-features"
#: One for each agent.
TABLES = ("metrics", "logs", "hosts")
#: Read whole at each start: kept short by closing and compacting segments early.
CHANGELOG_CONFIG = {
    "cleanup.policy": "compact", "max.message.bytes": str(MAX_RECORD_BYTES), "segment.bytes": str(16 * 2**20),
    "segment.ms": "600000", "min.cleanable.dirty.ratio": "0.2",
}  # fmt: skip


def changelog_of(table: str) -> str:
    """The topic's name, as Faust would have it."""
    return f"{APP_ID}-{table}-changelog"
