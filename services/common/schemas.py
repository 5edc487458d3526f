"""`schemas.v1`: each writer's schemas for each reader, by fingerprint."""

from services.common.broker.abstract import Broker, Output, Record, View
from services.common.clock import Clock, SystemClock
from services.common.codec import SCHEMAS, Codec
from services.common.errors import InvalidMessage
from services.common.logging import get_logger

#: How long a reader waits for a schema that its writer must have published before its first record.
WAIT_SECONDS = 5.0


class SchemaRegistry:
    """Publishes this program's schemas and finds those of others.

    It makes itself the codec's `learn`. A fingerprint that did not turn up in time is not waited for again until
    another schema arrives, so that forged records cannot slow a reader.
    """

    def __init__(self, broker: Broker, codec: Codec, clock: Clock | None = None) -> None:
        self._broker = broker
        self._codec = codec
        self._clock = clock or SystemClock()
        self._known: set[bytes] = set()
        self._missing: set[bytes] = set()
        self._view: View | None = None
        codec.learn = self.learn

    def publish_own(self) -> int:
        """Publishes those schemas of this program that nobody has published; returns how many."""
        self._refresh()
        outputs = [
            Output(
                SCHEMAS,
                schema.fingerprint.hex().encode(),
                self._codec.encode(
                    SCHEMAS, {"fingerprint": schema.fingerprint.hex(), "name": schema.name, "schema": schema.source}
                ),
            )
            for schema in self._codec.schemas
            if schema.fingerprint not in self._known
        ]
        if outputs:
            self._broker.publish(outputs)
        return len(outputs)

    def learn(self, fingerprint: bytes) -> None:
        """Waits up to WAIT_SECONDS for a schema."""
        self._refresh()
        if fingerprint in self._missing:
            return
        until = self._clock.monotonic() + WAIT_SECONDS
        while fingerprint not in self._known and self._clock.monotonic() < until:
            self._clock.sleep(0.05)
            self._refresh()
        if fingerprint not in self._known:
            self._missing.add(fingerprint)

    def close(self) -> None:
        """Closes its view of the topic."""
        if self._view is not None:
            self._view.close()
            self._view = None

    def _refresh(self) -> None:
        if self._view is None:
            self._view = self._broker.open_view([SCHEMAS], self._apply)
        if self._view.refresh():
            self._missing.clear()

    def _apply(self, record: Record) -> None:
        try:
            fields = self._codec.decode(record.value)
            self._codec.add_source(fields["name"], fields["schema"])
            self._known.add(bytes.fromhex(fields["fingerprint"]))
        except (InvalidMessage, ValueError, KeyError) as error:
            get_logger().warning("schema_refused", offset=record.offset, reason=str(error))
