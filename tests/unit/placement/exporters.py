"""Recorded exporter text of nodes, through ingest's and features' own stages, into a placement engine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from services.common.broker.abstract import Output, Record
from services.common.gen.prometheus.write.v1 import write_pb2 as v1
from services.common.topics import FEATURES
from services.features.core.flows import SourceFlow, metric_flow
from services.features.core.marks import StepRules
from tests.unit.ingest.conftest import NOW, Harness
from tests.unit.ingest.requests_of import packed
from tests.unit.placement.worlds import CODEC, Cloud

FOLDER = Path(__file__).parents[2] / "data" / "exporters"
#: Seconds from one scrape to the next: a step each.
INTERVAL = 10
#: Series with their values, as a target exposes them.
Scrape = dict[tuple[str, tuple[tuple[str, str], ...]], float]
_START_MS = int(NOW.timestamp()) * 1000


class Case(NamedTuple):
    """What the better and the worse node expose, scrape by scrape."""

    better: tuple[str, ...]
    worse: tuple[str, ...]


def names() -> list[str]:
    """The factors with recorded text."""
    return sorted(path.stem for path in FOLDER.glob("*.txt") if path.stem != "base")


def read_case(name: str) -> Case:
    """`== scrape N` begins what both nodes expose, `== scrape N, better` (or worse) what one does."""
    texts: dict[str, dict[int, str]] = {"better": {}, "worse": {}}
    for part in (FOLDER / f"{name}.txt").read_text().split("\n== ")[1:]:
        head, _, body = part.partition("\n")
        number, _, which = head.removeprefix("scrape ").partition(", ")
        for one in [which] if which else texts:
            texts[one][int(number)] = body
    return Case(*(tuple(found.get(n + 1, "") for n in range(max(found))) for found in texts.values()))


def parse(text: str, node: str) -> Scrape:
    """The exposition text as Prometheus reads it, NODE being the node's name."""
    families = text_string_to_metric_families(text.replace("NODE", node) + "\n")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def scrapes_of(case: str, which: str, node: str) -> list[Scrape]:
    """What a node exposes: what all have in common, and the case's own lines over it."""
    base, own = (getattr(read_case(name), which) for name in ("base", case))
    common = [parse(text, node) for text in base]
    return [{**common[min(n, len(common) - 1)], **parse(text, node)} for n, text in enumerate(own)]


def write_request(scrape: Scrape, node: str, millis: int) -> bytes:
    """As Prometheus sends a scrape on: with the labels of its targets, the node's exporter or kube-state-metrics."""
    series = []
    for (name, labels), value in scrape.items():
        target = {"instance": "ksm:8080"} if name.startswith("kube_") else {"instance": f"{node}:9100"}
        named = {"__name__": name, "job": "node", **target, **dict(labels)}
        series.append(
            v1.TimeSeries(
                labels=[v1.Label(name=key, value=text) for key, text in sorted(named.items())],
                samples=[v1.Sample(value=value, timestamp=millis)],
            )
        )
    return packed(v1.WriteRequest(timeseries=series))


def samples_of(nodes: Mapping[str, list[Scrape]]) -> list[dict[str, Any]]:
    """metrics.samples.v1 of what ingest makes of them, scrape by scrape."""
    ingest = Harness()
    for number in range(max(map(len, nodes.values()))):
        for node, scrapes in nodes.items():
            if number < len(scrapes):
                millis = _START_MS + 1000 * INTERVAL * number
                ingest.send(write_request(scrapes[number], node, millis), topic="metrics.raw")
    assert ingest.dead == []
    return ingest.of("metrics.samples.v1")


def features_of(samples: list[dict[str, Any]]) -> list[Output]:
    """The records of features.v1 that the stream writes for them."""
    flow: SourceFlow = metric_flow(StepRules(), CODEC.decode, CODEC.encode)
    outputs = []
    for offset, fields in enumerate(samples):
        at = fields["event_time"] // 1000
        data = CODEC.encode("metrics.samples.v1", fields)
        outputs += flow.apply([Record("metrics.samples.v1", 0, offset, at, b"", data)]).outputs
    outputs += flow.advance({0: 2**60}).outputs
    return [output for output in outputs if output.topic == FEATURES.name]


def tell(cloud: Cloud, case: str, **which: str) -> None:
    """Lets nodes expose the text of a case, each the better or the worse one, and placement read what comes of it."""
    nodes = {node: scrapes_of(case, text, node) for node, text in which.items()}
    cloud.broker.publish(
        [
            Output(FEATURES.name, output.key, CODEC.encode(FEATURES.name, _ours(output)))
            for output in features_of(samples_of(nodes))
        ]
    )
    cloud.turn()


def _ours(output: Output) -> dict[str, Any]:
    return CODEC.decode(output.value) | {"cluster": "default"}
