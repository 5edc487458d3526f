"""Properties of whatever lies on a raw topic: each message leaves a trace, and lines are counted."""

import gzip

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzzing import Fuzzer
from tests.mutations import Message
from tests.unit.ingest.conftest import Harness

BIG = orjson.OPT_NON_STR_KEYS
KINDS = st.sampled_from(["logs", "metrics"])
KEYS = st.none() | st.binary(max_size=40)
#: Names that shapes are recognised by, among others.
KNOWN = (
    "log message msg levelname host kubernetes metrics name fields tags timestamp date resourceLogs resourceMetrics "
    "oslo.message MESSAGE kind involvedObject values dstypes labels"
)
FIELDS = st.text(max_size=8) | st.sampled_from(KNOWN.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=6),
    max_leaves=20,
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ANY = (
    st.binary(max_size=200)
    | TEXTS.map(str.encode)
    | JSON.map(lambda value: orjson.dumps(value, default=str, option=BIG))
)
USUAL = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@USUAL
@given(st.lists(st.tuples(KINDS, KEYS, ANY, st.booleans()), min_size=1, max_size=5))
def test_any_message_leaves_a_trace(values: list[tuple[str, bytes | None, bytes, bool]]) -> None:
    """An event, samples, or a dead letter with its reason, whatever its neighbours in the batch are."""
    fuzzer = Fuzzer()
    fuzzer.send(*(Message(kind, key, gzip.compress(value) if packed else value) for kind, key, value, packed in values))
    fuzzer.flush()
    assert (fuzzer.findings.missing, fuzzer.findings.defects) == ([], [])


@USUAL
@given(st.lists(TEXTS.filter(lambda text: not text.startswith(("{", "["))), max_size=20), st.booleans())
def test_lines_of_text_are_counted_one_by_one(lines: list[str], is_ended: bool) -> None:
    """In one message or in one for each, blank lines included; a newline at the end ends the last one."""
    lines = [line.replace("\n", " ") or "x" for line in lines] or ["x"]
    together, apart = Harness(), Harness()
    together.send("\n".join(lines) + "\n" * is_ended)
    apart.send(*lines)
    for ingest in (together, apart):
        for _ in range(3):
            ingest.wait(60)
        assert ingest.num_lines + len(ingest.dead) == len(lines)
