"""The scores of the shipped BERT. Written anew by `python -m tests.golden.test_logbert_scores`; look at the diff."""

import json
from pathlib import Path

import pytest

from services.logbert.model.bert import SHIPPED, Bert, load_bert

GOLDEN = Path(__file__).parent / "data" / "logbert_scores.json"


def windows(bert: Bert) -> dict[str, tuple[int | str, ...]]:
    """A few windows: frequent words, all words in turn, a single one, and one with a word it never saw."""
    length = bert.shape.length
    return {
        "the most frequent word": (0,) * length,
        "the first words in turn": tuple(range(length)),
        "the last words in turn": tuple(range(len(bert.vocabulary) - length, len(bert.vocabulary))),
        "one word": (3,),
        "a word never seen": (0, 1, "disk <*> is full", 0, 1),
    }


def scores(bert: Bert) -> dict[str, list[float]]:
    """Every word's surprise, nats."""
    found = {name: bert.scorer.score(window) for name, window in windows(bert).items()}
    return {name: list(scored.surprises) for name, scored in found.items() if scored is not None}


def test_the_shipped_bert_scores_as_ever() -> None:
    """Within a thousandth, the rounding of a surprise, on whatever CPU."""
    bert = load_bert(SHIPPED)
    golden = json.loads(GOLDEN.read_text())
    assert golden["version"] == bert.version
    found = scores(bert)
    assert found.keys() == golden["surprises"].keys()
    for name, surprises in golden["surprises"].items():
        assert found[name] == pytest.approx(surprises, abs=2e-3), name


if __name__ == "__main__":
    shipped = load_bert(SHIPPED)
    made = {"version": shipped.version, "surprises": scores(shipped)}
    GOLDEN.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
