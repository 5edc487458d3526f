"""What all replicas have mined: logs.templates.v1, read whole by each of them."""

from collections.abc import Callable
from typing import Any

from services.common.broker.abstract import Broker, Record
from services.common.codec import Codec
from services.common.errors import InvalidMessage
from services.common.topics import LOGS_TEMPLATES


class TemplateFeed:
    """Hands every template record to `apply`: those that exist at once, later ones at each `refresh`."""

    def __init__(self, broker: Broker, codec: Codec) -> None:
        self._codec = codec
        self._apply: Callable[[dict[str, Any]], None] = lambda record: None
        self._view = broker.open_view([LOGS_TEMPLATES.name], self._on_record)

    def start(self, apply: Callable[[dict[str, Any]], None]) -> None:
        """Reads all that exists; `apply` is called now and at each `refresh`."""
        self._apply = apply
        self._view.refresh()

    def refresh(self) -> None:
        """Takes in what was written since."""
        self._view.refresh()

    def close(self) -> None:
        """Stops reading."""
        self._view.close()

    def _on_record(self, record: Record) -> None:
        try:
            template = self._codec.decode(record.value)
        except InvalidMessage:
            return  # a tombstone, or a foreign record: it teaches nothing
        self._apply(template)
