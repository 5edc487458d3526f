"""`docs/shapes.md`: every shape that ingest reads, from the golden files that test it."""

import json
from pathlib import Path
from typing import Any

from moselle.generators.pages import table

GOLDEN = Path("tests/golden/data/shapes")
#: Of a sample, this much is shown.
_MAX_SAMPLE_CHARS = 400

_HEAD = """<!-- Made by `make gen` from tests/golden/data/shapes/ and moselle/generators/shapes.py; change it there. -->
# Shapes

What ingest understands, recognised for each message without configuration. Each row is a golden test: its file in
`tests/golden/data/shapes/` is sent through the real stage. "Tested" says where the sample is from.
"""


def shapes_page(root: Path) -> dict[Path, str]:
    """`docs/shapes.md`."""
    files = [json.loads(path.read_text()) for path in sorted((root / GOLDEN).glob("*.json"))]
    text = _HEAD
    for kind, title, unit in (("logs", "Logs", "one line is"), ("metrics", "Metrics", "one sample is")):
        rows: list[tuple[str, ...]] = [_row(file) for file in files if file["kind"] == kind]
        text += f"\n## {title}\n\n{table(('shape', 'sent by', unit, 'sample', 'tested'), rows)}"
    return {Path("docs/shapes.md"): text}


def _row(golden: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"`{golden['shape']}`", golden["shipper"], golden["line"], _sample(golden["messages"][0]), golden["tested"],
    )  # fmt: skip


def _sample(message: dict[str, Any]) -> str:
    """The first message as code, shortened; its key before it."""
    if "base64" in message:
        value = f"base64 {message['base64']}"
    elif "json" in message:
        value = json.dumps(message["json"], ensure_ascii=False, separators=(",", ":"))
    else:
        text = message["text"]
        value = text if isinstance(text, str) else "\n".join(text)
    short = value if len(value) <= _MAX_SAMPLE_CHARS else value[:_MAX_SAMPLE_CHARS] + " .."
    code = f"`` {short.replace('`', chr(39))} ``".replace("\n", " ⏎ ")
    return code if "key" not in message else f"key `{message['key']}`: {code}"
