"""Small streams of samples and a stage that reads them, for anomaly's tests."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from services.anomaly.model.entity import Clock
from services.anomaly.pipeline import AnomalyStage
from services.anomaly.settings import AnomalySettings
from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import FakeClock
from services.common.errors import InvalidMessage
from services.common.stage import Outputs
from services.common.state import PartitionState

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
PARTITION = TopicPartition("metrics.samples.v1", 0)
#: Warm after 200 s, 40 scrapes, so that tests stay short; half-space trees take longest and decide nothing.
SETTINGS = AnomalySettings(warmup_seconds=200, min_samples=30, relearn_seconds=600, advisers=("gaussian",))
WITH_TREES = SETTINGS.model_copy(update={"advisers": ("half_space_trees",)})

HOST = 'node_memory_MemAvailable_bytes{host="c1"}'
TOTAL = 'node_memory_MemTotal_bytes{host="c1"}'
CPU = 'node_cpu_seconds_total{cpu="0",host="c1",mode="user"}'
LATENCY = 'openstack_api_latency_seconds_mean{host="c1",service="nova-api"}'
ERRORS = 'openstack_api_errors{host="c1",service="nova-api"}'


def procs(group: str) -> str:
    """The series of how many processes a group has."""
    return f'namedprocess_namegroup_num_procs{{groupname="{group}",host="c1"}}'


def make_record(second: float, entity_id: str, values: Mapping[str, float], **changes: Any) -> dict[str, Any]:
    """One record of metrics.samples.v1 at START + `second`."""
    record = {
        "event_time": START + round(second * SECOND), "cluster": "cloud", "entity_id": entity_id,
        "parent_entity_ids": ["host:c1"], "series": list(values), "values": list(values.values()), "job": "",
        "source_topic": "metrics.raw", "source_partition": 0, "source_offsets": [round(second)], "source_index": 0,
        "ingest_time": START + round(second * SECOND),
    }  # fmt: skip
    return {**record, **changes}


def make_host(second: float, free: float = 0.8, busy: float = 0.5, **changes: Any) -> dict[str, Any]:
    """A host's scrape: its share of free memory, and a processor counter that runs at `busy`."""
    wave = 0.01 * math.sin(second)
    values = {HOST: 100e9 * (free + wave), TOTAL: 100e9, CPU: busy * second}
    return make_record(second, "host:c1", values, parent_entity_ids=[], **changes)


def make_api(second: float, latency: float = 0.1, errors: float = 0.0, **changes: Any) -> dict[str, Any]:
    """What the clients of nova-api measured."""
    values = {LATENCY: latency + 0.02 * math.sin(second), ERRORS: errors}
    return make_record(second, "service:nova-api@c1", values, **changes)


def make_compute(second: float, num_procs: Mapping[str, float] | None = None, **changes: Any) -> dict[str, Any]:
    """Three process groups of one entity."""
    groups = num_procs or {"nova-compute-1": 1, "nova-compute-2": 1, "nova-compute-3": 1}
    values = {procs(group): number for group, number in groups.items()}
    return make_record(second, "service:nova-compute@c1", values, **changes)


def scrapes(begin: float, end: float, every: float = 5.0) -> list[float]:
    """The seconds at which scrapes come."""
    return [begin + every * n for n in range(math.ceil((end - begin) / every))]


Maker = Callable[[float], dict[str, Any]]


def story(
    begin: float,
    end: float,
    host: Maker | None = make_host,
    api: Maker | None = make_api,
    compute: Maker | None = make_compute,
) -> list[dict[str, Any]]:
    """Scrapes of everything, each as it should be unless another maker is given; None stops it."""
    makers = [maker for maker in (host, api, compute) if maker is not None]
    return [maker(second) for second in scrapes(begin, end) for maker in makers]


def normal(begin: float = 0, end: float = 200) -> list[dict[str, Any]]:
    """Everything as it should be."""
    return story(begin, end)


def free(share: float) -> Maker:
    """A host with so much free memory."""
    return lambda second: make_host(second, share)


def slow(latency: float, until: float = math.inf, errors: float = 0.0) -> Maker:
    """An API that answers so slowly until then."""
    return lambda second: make_api(second, latency, errors) if second < until else make_api(second)


class Reader:
    """A stage with one partition, fed with record dicts; `alerts` is all it wrote, as dicts."""

    def __init__(self, settings: AnomalySettings = SETTINGS) -> None:
        self._settings = settings
        self.clock = FakeClock()
        self.state = PartitionState()
        self.alerts: list[dict[str, Any]] = []
        self.dead_letters = 0
        self.restart()

    def restart(self) -> None:
        """A new process with the state that was committed."""
        self.state = PartitionState(dict(self.state.items()))
        self.stage = AnomalyStage(self._settings, _decode, self.clock)
        self.stage.assign(PARTITION, self.state)

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

    @property
    def saved(self) -> dict[str, tuple[int, bytes]]:
        """All keyed state, with every entity's rows as they are now and nothing left to judge again.

        Without how many records they were learnt from: one that changes nothing is counted, too.
        """
        for model in self.stage._partitions.values():
            for entity in model.entities.values():
                entity.is_disturbed = True
                model._changed_entities[entity.entity_id] = entity
            model.save()
        return {key: (saved.version, _uncounted(key, saved.payload)) for key, saved in self.state.items()}


def _uncounted(key: str, payload: bytes) -> bytes:
    if not key.startswith("clock|"):
        return payload
    clock = msgspec.msgpack.decode(payload, type=Clock)
    return msgspec.msgpack.encode(msgspec.structs.replace(clock, count=0))


def _decode(value: bytes | None) -> dict[str, Any]:
    try:
        decoded: dict[str, Any] = json.loads(value or b"")
    except ValueError as error:
        raise InvalidMessage("not_json", str(error)) from error
    return decoded


def _encode(_: str, record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode()
