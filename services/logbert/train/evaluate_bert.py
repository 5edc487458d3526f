"""What BERT adds to the rules: the stage over a recording with rules alone, BERT alone, both, and a simpler model."""

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from services.common.clock import Clock
from services.common.matching import Fault, match_alerts
from services.common.topics import LOGS_PARSED, LOGS_TEMPLATES
from services.logbert.core.verdict import FAMILY
from services.logbert.core.words import Word
from services.logbert.model.abstract import Detector
from services.logbert.model.bert import Bert
from services.logbert.model.scorer import Scored, SequenceScorer
from services.logbert.model.vocabulary import Vocabulary, Wording
from services.logbert.pipeline import Decode, LogbertStage
from services.logbert.settings import LogbertSettings
from services.logbert.train.calibrate import TRAIN_SHARE, UNSEEN_NATS, calibrate
from services.logbert.train.dataset import Recording, Templates, finished_windows, split, streams
from services.logbert.train.evaluate_rules import MakeStage, Replay
from services.logbert.train.rivals import Bigram

#: Events a batch, about what 50 ms bring at 700 events a second.
BATCH = 35

Record = tuple[str, dict[str, Any]]


class KnownTemplates(Templates):
    """Templates as far as they were published when an event is read."""

    def refresh(self) -> None:
        """They come with the events."""

    def resolve(self, template_id: str) -> str:
        """What it became last."""
        return self.chain(template_id)[-1]

    def close(self) -> None:
        """Nothing is open."""


class BertOnly(LogbertStage):
    """The stage without its rules."""

    def _detectors(self, program: str, entity_id: str) -> list[Detector]:
        return []


class BigramScorer(SequenceScorer):
    """The rival in BERT's place: how unlikely each word is after the one before it."""

    def __init__(self, bigram: Bigram, unseen: float) -> None:
        self._bigram, self._unseen_nats = bigram, unseen
        self.num_asked, self.num_run = 0, 0

    def prepare(self, windows: Iterable[tuple[Word, ...]]) -> None:
        """It is quick enough alone."""

    def score(self, window: tuple[Word, ...]) -> Scored | None:
        pairs = list(zip((None, *window), window, strict=False))
        surprises = tuple(
            self._unseen_nats if isinstance(word, str)
            else min(-math.log(self._bigram.probability(word, before)), self._unseen_nats)
            for before, word in pairs
        )  # fmt: skip
        guesses = (self._bigram.guess(before) for before, _ in pairs)
        return Scored(surprises, tuple(guess if isinstance(guess, int) else 0 for guess in guesses))


def make_rival(recording: Recording, bert: Bert) -> Bert:
    """A bigram that learns and is calibrated on the same parts and words as BERT."""
    first, rest = split(recording, TRAIN_SHARE)
    vocabulary = Vocabulary(bert.vocabulary.entries)
    wording = Wording(vocabulary, recording.templates.forms)
    bigram = Bigram(finished_windows(streams(first, wording), bert.shape), len(vocabulary))
    scorer = BigramScorer(bigram, UNSEEN_NATS)
    windows = finished_windows(streams(rest, wording), bert.shape)
    calibration, _ = calibrate([found for window in windows if (found := scorer.score(window)) is not None])
    return Bert("bigram", vocabulary, bert.shape, calibration, scorer)


class Truth(NamedTuple):
    """What is known of a recording; event times in microseconds."""

    faults: list[Fault]
    fit_end: int
    stream_end: int


def read_truth(folder: Path, records: Sequence[Record], settings: LogbertSettings) -> Truth:
    """The labels of a folder laid out like openstack_live."""
    labels = (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    times = [record["event_time"] for topic, record in records if topic == LOGS_PARSED.name]
    fit_end = min(times) + int(settings.warmup_seconds * 1e6)
    return Truth([Fault.from_label(json.loads(line)) for line in labels], fit_end, max(times))


def compare(
    records: Sequence[Record], truth: Truth, settings: LogbertSettings, bert: Bert, rival: Bert
) -> dict[str, Any]:
    """Figures of each way to run the stage; all read the same records."""
    ways: dict[str, tuple[type[LogbertStage], Bert | None]] = {
        "rules": (LogbertStage, None),
        "bert": (BertOnly, bert),
        "rules_and_bert": (LogbertStage, bert),
        "bigram": (BertOnly, rival),
        "rules_and_bigram": (LogbertStage, rival),
    }
    return {name: _figures(*_run(records, settings, *way), truth) for name, way in ways.items()}


def _run(
    records: Sequence[Record], settings: LogbertSettings, kind: type[LogbertStage], bert: Bert | None
) -> tuple[list[dict[str, Any]], float]:
    templates = KnownTemplates()
    replay = Replay(settings, 4, make_stage=_maker(kind, templates, bert))
    began = time.process_time()
    waiting: list[dict[str, Any]] = []
    for topic, record in records:
        if topic == LOGS_TEMPLATES.name:
            templates.take(record)
        elif topic == LOGS_PARSED.name:
            waiting.append(record)
        if len(waiting) >= BATCH:
            replay.read(waiting)
            waiting = []
    replay.read(waiting).finish()
    return replay.records, replay.num_events / (time.process_time() - began)


def _maker(kind: type[LogbertStage], templates: KnownTemplates, bert: Bert | None) -> MakeStage:
    def make(settings: LogbertSettings, decode: Decode, clock: Clock) -> LogbertStage:
        return kind(settings, decode, clock, templates, bert)

    return make


def _figures(records: list[dict[str, Any]], events_per_second: float, truth: Truth) -> dict[str, Any]:
    figures = match_alerts(records, truth.faults, truth.fit_end, truth.stream_end)
    rows = figures.pop("faults")
    last = {record["alert_id"]: record for record in records}
    alone = [record for record in last.values() if record["labels"]["detectors"] == FAMILY]
    return {
        **{name: value for name, value in figures.items() if not name.startswith("by_")},
        "missed": [row["kind"] for row in rows if not row["found"]],
        "not_named": [row["kind"] for row in rows if not row["named"]],
        "verdicts": _verdicts(last.values(), truth),
        "bert_alone": {"alerts": len(alone), "unmatched": sum(not _is_matched(record, truth) for record in alone)},
        "events_per_second": round(events_per_second),
    }


def _is_matched(record: Mapping[str, Any], truth: Truth) -> bool:
    return any(fault.is_alarm and fault.holds(record["starts_at"]) for fault in truth.faults)


def _verdicts(records: Iterable[Mapping[str, Any]], truth: Truth) -> dict[str, dict[str, int]]:
    """How BERT judged the alerts that match a fault, and those that do not."""
    counts: dict[str, dict[str, int]] = {"matched": {}, "unmatched": {}}
    for record in records:
        opinion = record["labels"].get("bert_verdict", "none")
        of = counts["matched" if _is_matched(record, truth) else "unmatched"]
        of[opinion] = of.get(opinion, 0) + 1
    return counts
