"""Small streams of log records and a stage that reads them, for logbert's tests."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import FakeClock
from services.common.errors import InvalidMessage
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.logbert.core.events import LogEvent
from services.logbert.model.bert import Bert
from services.logbert.pipeline import Aliases, LogbertStage
from services.logbert.settings import LogbertSettings

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
PARTITION = TopicPartition("logs.parsed.v1", 0)
#: Warm after a minute, so that tests stay short.
SETTINGS = LogbertSettings(warmup_seconds=60, late_warmup_seconds=20, silence_min_events=20)


def make_record(second: float, program: str = "nova-api", host: str = "c1", **changes: Any) -> dict[str, Any]:
    """One record of logs.parsed.v1 at START + `second`; name only what matters."""
    record = {
        "event_time": START + round(second * SECOND), "cluster": "cloud", "entity_id": f"service:{program}@{host}",
        "parent_entity_ids": [f"host:{host}"], "service_name": program, "host_name": host,
        "source_id": f"{host}:{program}.log", "severity_number": 9, "logger": "some.logger", "body": "all is well",
        "raw_line": f"{second} all is well", "template_id": "t-info", "http": None, "exception": None,
        "source_topic": "logs.raw", "source_partition": 0, "source_offsets": [0], "source_index": 0,
        "ingest_time": START + round(second * SECOND),
    }  # fmt: skip
    return {**record, **changes}


def make_error(second: float, body: str = "it broke", template_id: str = "t-error", **changes: Any) -> dict[str, Any]:
    """An ERROR event."""
    more = {"severity_number": 17, "body": body, "raw_line": f"{second} ERROR {body}", "template_id": template_id}
    return make_record(second, **{**more, **changes})


def make_warning(second: float, template_id: str = "t-warn", **changes: Any) -> dict[str, Any]:
    """A WARNING event."""
    return make_error(second, "careful", template_id, severity_number=13, **changes)


def make_access(second: float, status: int = 200, **changes: Any) -> dict[str, Any]:
    """An access line."""
    http = {"method": "GET", "target": "/v2.1/servers", "status": status, "duration_seconds": 0.1}
    return make_record(second, http=http, **{"raw_line": f"{second} GET {status}", **changes})


def make_event(second: float = 0, **changes: Any) -> LogEvent:
    """A record as the detectors see it."""
    return LogEvent.from_record(make_record(second, **changes))


def as_event(record: Mapping[str, Any]) -> LogEvent:
    """The record as the detectors see it."""
    return LogEvent.from_record(record)


def steady(
    seconds: Iterable[int], programs: Sequence[str] = ("nova-api", "keystone"), **more: Any
) -> list[dict[str, Any]]:
    """Every program says something harmless once a second."""
    return [make_record(second, program, **more) for second in seconds for program in programs]


def numbered(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records in event-time order, each with an offset of its own."""
    ordered = sorted(records, key=lambda record: record["event_time"])
    return [{**record, "source_offsets": [offset]} for offset, record in enumerate(ordered)]


class Reader:
    """A stage with one partition, fed with record dicts; `alerts` is all it wrote, as dicts."""

    def __init__(
        self, settings: LogbertSettings = SETTINGS, aliases: Aliases | None = None, bert: Bert | None = None
    ) -> None:
        self._settings = settings
        self._aliases = aliases
        self._bert = bert
        self.clock = FakeClock()
        self.state = PartitionState()
        self.alerts: list[dict[str, Any]] = []
        self.dead_letters = 0
        self.restart()

    def restart(self) -> None:
        """A new process with the state that was committed."""
        committed = PartitionState(dict(self.state.items()))
        self.state = committed
        self.stage = LogbertStage(self._settings, _decode, self.clock, self._aliases, self._bert)
        self.stage.assign(PARTITION, committed)

    def read(self, records: Iterable[Mapping[str, Any] | bytes]) -> "Reader":
        """One batch."""
        batch = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
        outputs = Outputs(_encode)
        self.stage.process([Record(*PARTITION, n, 0, None, value) for n, value in enumerate(batch)], outputs)
        self._collect(outputs)
        return self

    def tick(self, seconds: float = 0.0, caught_up: Sequence[TopicPartition] = (PARTITION,)) -> "Reader":
        """Wall time passes."""
        self.clock.advance(seconds)
        outputs = Outputs(_encode)
        self.stage.tick(self.clock.now(), caught_up, outputs)
        self._collect(outputs)
        return self

    def _collect(self, outputs: Outputs) -> None:
        self.alerts += [json.loads(o.value or b"") for o in outputs.records if o.topic == "alerts.v1"]
        self.dead_letters += sum(o.topic.endswith(".dlq") for o in outputs.records)

    @property
    def life(self) -> list[tuple[str, str, str]]:
        """(entity, rule, status) of each record."""
        return [(alert["entity_id"], alert["rule"], alert["status"]) for alert in self.alerts]


def _decode(value: bytes | None) -> dict[str, Any]:
    try:
        decoded: dict[str, Any] = json.loads(value or b"")
    except ValueError as error:
        raise InvalidMessage("not_json", str(error)) from error
    return decoded


def _encode(_: str, record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode()
