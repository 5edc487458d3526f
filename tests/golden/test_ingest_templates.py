"""The templates of a fixed sample log. Regenerate with `python -m tests.golden.test_ingest_templates`, which shows the
difference."""

import difflib
import sys
from pathlib import Path

from services.ingest.core.lines import Origin, RawLine
from services.ingest.core.parsing import LineParser
from services.ingest.core.times import TimeParser
from services.ingest.model.miner import Miner

FOLDER = Path(__file__).parent / "data"
SAMPLE = FOLDER / "ingest_sample.log"
GOLDEN = FOLDER / "ingest_templates.txt"


def mined_templates() -> str:
    """`count id text` of every template of the sample, by text."""
    miner, parser = Miner(), LineParser(TimeParser())
    counts: dict[str, int] = {}
    for text in SAMPLE.read_text().splitlines():
        _, line = parser.parse(RawLine(text, Origin()), 0)
        template_id = miner.mine(line.body, line.event_time)[0]
        counts[template_id] = counts.get(template_id, 0) + 1
    texts = {record["template_id"]: record["text"] for record in miner.records()}
    return "".join(f"{counts[each]:3d} {each} {texts[each]}\n" for each in sorted(counts, key=lambda each: texts[each]))


def test_templates_of_the_sample_stay_as_they_are() -> None:
    """Ids are stored in artifacts and topics: a change of masks is a change of the miner's version."""
    assert mined_templates() == GOLDEN.read_text()


if __name__ == "__main__":
    old, new = GOLDEN.read_text() if GOLDEN.exists() else "", mined_templates()
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "old", "new"))
    GOLDEN.write_text(new)
