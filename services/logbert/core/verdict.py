"""BERT's word on an entity's lines, in the labels and the sentence that stand in every alert."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

FAMILY = "log.bert"
RULE = "unlikely_sequence"
#: Above it a window is anomalous: more surprising than anything normal, by the calibration's margin.
THRESHOLD = 0.5
#: Above it, for several windows in a row, BERT alerts alone: twice as far out.
ALONE_THRESHOLD = 0.667

Opinion = Literal["anomalous", "normal", "not_scored"]


class Verdict(NamedTuple):
    """What BERT thinks of a source's last words.

    Attributes:
        score: 0 to 1; 0.0 when not scored.
        about: of how many events of which source, or why there is no score; for the sentence.
    """

    opinion: Opinion
    score: float
    about: str

    @classmethod
    def of(cls, score: float, about: str) -> "Verdict":
        """By the score."""
        return cls("anomalous" if score > THRESHOLD else "normal", score, about)

    def labels(self) -> dict[str, str]:
        """For an alert. `bert_about` is what `sentence` needs when the alert is written again."""
        return {
            "bert_verdict": self.opinion,
            "bert_score": f"{self.score:.4f}",
            "bert_threshold": f"{THRESHOLD:.4f}",
            "bert_about": self.about,
        }


def worse(held: Mapping[str, str], new: Verdict) -> dict[str, str]:
    """The labels of the higher of two scores; any score stands above none."""
    if not held or held.get("bert_verdict") == "not_scored":
        return new.labels()
    is_worse = new.opinion != "not_scored" and new.score > float(held["bert_score"])
    return new.labels() if is_worse else dict(held)


def sentence(labels: Mapping[str, str]) -> str:
    """What an alert's reason says of BERT, from the alert's labels; empty for one without BERT."""
    if "bert_verdict" not in labels:
        return ""
    if labels["bert_verdict"] == "not_scored":
        return f"BERT did not score this: {labels['bert_about']}."
    found = "unlikely" if labels["bert_verdict"] == "anomalous" else "ordinary"
    score = f"{labels['bert_score']}, threshold {labels['bert_threshold']}"
    alone = " Only BERT sees it; no rule does." if labels.get("detectors") == FAMILY else ""
    return f"BERT finds {labels['bert_about']} {found} (score {score}).{alone}"
