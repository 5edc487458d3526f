"""What masking costs a line: secrets always, personal data when told to, host names too.

Lines: openstack_live's normal part where the data lies beside the repository, else generated ones. CPU seconds of this
process; best of ROUNDS, since other work on the machine only ever slows it. Prints JSON; asserts only what holds on
any machine: that what is off costs nothing to speak of beside what is on.
"""

import gzip
import json
import time
from collections.abc import Callable
from itertools import islice, starmap
from pathlib import Path

import orjson
import pytest

from services.ingest.core.documents import Documents
from services.ingest.core.lines import Origin, ParsedLine, RawLine
from services.ingest.core.parsing import LineParser
from services.ingest.core.privacy import Privacy, make_privacy
from services.ingest.core.pseudonyms import KINDS, PERSONAL
from services.ingest.core.secrets import mask
from services.ingest.core.times import TimeParser
from services.ingest.settings import IngestSettings

LIVE = Path(__file__).parents[3] / "shared" / "data" / "logs" / "openstack_live" / "normal"
LINES_OF_FILE = 2000
ROUNDS = 3
KEY = b"k" * 32
GENERATED = (
    "2026-11-21 06:12:12.862 24053 INFO nova.compute.manager [None req-{0:08x}-0000-4000-8000-000000000000 {0:032x} "
    '{1:032x} - - default default] 10.0.0.{1} "GET /v2.1/servers/{0:032x} HTTP/1.1" status: 200 len: 1 time: 0.1'
)


def lines() -> list[str]:
    """Lines of all services."""
    if not LIVE.is_dir():
        return [GENERATED.format(number, number % 200) for number in range(8000)]
    found: list[str] = []
    for path in sorted(LIVE.glob("*.log.gz")):
        with gzip.open(path, "rt") as file:
            found += (line.rstrip("\n") for line in islice(file, LINES_OF_FILE))
    return found


def micros(work: Callable[[], object], num_lines: int) -> float:
    """CPU microseconds a line, the best of ROUNDS."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return round(best / num_lines * 1e6, 2)


@pytest.mark.bench
def test_the_cost_of_masking() -> None:
    """Off, personal data on, host names too; and what a tool reaches on text and on JSON."""
    texts = lines()
    parser, origin = LineParser(TimeParser("UTC")), Origin("controller-1", "/var/log/nova/nova-api.log")
    parsed: list[tuple[Origin, ParsedLine]] = [parser.parse(RawLine(text, origin), 0) for text in texts]
    records = [orjson.dumps({"log": text, "host": "controller-1"}).decode() for text in texts]
    off = make_privacy(IngestSettings())
    on, hosts = Privacy(PERSONAL, KEY), Privacy(KINDS, KEY)
    documents = Documents(Privacy(PERSONAL, KEY))

    def check_off() -> list[object]:
        return [line for line in parsed if off is not None]

    figures = {
        "lines": len(texts),
        "mean_characters": round(sum(map(len, texts)) / len(texts)),
        "secrets_us": micros(lambda: list(map(mask, texts)), len(texts)),
        "off_us": micros(check_off, len(texts)),
        "personal_us": micros(lambda: list(starmap(on.parsed, parsed)), len(texts)),
        "personal_and_hosts_us": micros(lambda: list(starmap(hosts.parsed, parsed)), len(texts)),
        "anonymize_text_us": micros(lambda: list(map(documents.line, texts)), len(texts)),
        "anonymize_json_us": micros(lambda: list(map(documents.line, records)), len(texts)),
    }
    print(json.dumps(figures))
    assert off is None
    assert figures["off_us"] < figures["personal_us"] / 10
