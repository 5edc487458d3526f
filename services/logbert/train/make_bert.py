"""From a recording to an artifact: split, train, calibrate, measure, write. Needs torch."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from services.common.artifact import Artifact, write_artifact
from services.common.errors import SettingsInvalid
from services.logbert.core.events import LogEvent
from services.logbert.core.sequences import Shape
from services.logbert.core.words import NUM_FEATURES, Word
from services.logbert.model.bert import NAME, NETWORK
from services.logbert.model.onnx_runtime import OnnxRuntime
from services.logbert.model.scorer import Scored, SequenceScorer
from services.logbert.model.vocabulary import Vocabulary, Wording
from services.logbert.train.calibrate import TRAIN_SHARE, UNSEEN_NATS, calibrate
from services.logbert.train.dataset import (
    Recording,
    Templates,
    build_vocabulary,
    finished_windows,
    seconds_of,
    sliding_windows,
    split,
    streams,
)
from services.logbert.train.export_bert import write_files
from services.logbert.train.rivals import Bigram, Unigram, measure
from services.logbert.train.train_bert import Trained, TrainSettings, train

MIN_EVENTS = 200

Window = tuple[Word, ...]


class Parts(NamedTuple):
    """A recording, split: windows to learn from, and the windows that the stream would score in the rest."""

    vocabulary: Vocabulary
    learning: list[Window]
    known: list[Window]
    held_back: list[Window]


def make_artifact(
    recording: Recording, output: Path, settings: TrainSettings, command: str, source: str, shape: Shape | None = None
) -> Artifact:
    """Trains on a recording of normal operation and writes the artifact.

    Args:
        command: what was typed, to be stored.
        source: where the data is from, in words; no path.

    Raises:
        SettingsInvalid: too little data.
    """
    shape = shape or Shape()
    first, rest = split(recording, TRAIN_SHARE)
    if len(first) < MIN_EVENTS or not rest:
        raise SettingsInvalid(f"{len(recording.events)} log events are too few to train on: {MIN_EVENTS} are needed")
    parts = _windows(first, rest, recording.templates, shape)
    trained = train(parts.learning, parts.vocabulary, shape, settings)
    finish = _Finish(parts, trained, shape)

    def fill(folder: Path) -> None:
        write_files(folder, trained.network, parts.vocabulary)
        finish.measure(folder)

    data = {"source": source, "fingerprint": _fingerprint(recording.events), "events": len(recording.events),
            "seconds": round(seconds_of(recording.events), 1), "train_share": TRAIN_SHARE}  # fmt: skip
    return write_artifact(output, NAME, fill, finish.settings, finish.metrics, data, command)


def _windows(first: Sequence[LogEvent], rest: Sequence[LogEvent], templates: Templates, shape: Shape) -> Parts:
    vocabulary = build_vocabulary(first, templates.forms)
    wording = Wording(vocabulary, templates.forms)
    known, held_back = streams(first, wording), streams(rest, wording)
    stride = TrainSettings.stride
    return Parts(
        vocabulary, sliding_windows(known, shape, stride), finished_windows(known, shape),
        finished_windows(held_back, shape),
    )  # fmt: skip


class _Finish:
    """What is known only when the network is written: calibration and figures, by the runtime that serves."""

    def __init__(self, parts: Parts, trained: Trained, shape: Shape) -> None:
        self._parts, self._trained, self._shape = parts, trained, shape
        self.settings: dict[str, Any] = {}
        self.metrics: dict[str, Any] = {}

    def measure(self, folder: Path) -> None:
        """Scores the held-back windows and fills `settings` and `metrics`."""
        parts = self._parts
        scorer = SequenceScorer(OnnxRuntime(folder / NETWORK), parts.vocabulary, self._shape, UNSEEN_NATS)
        scorer.prepare(parts.held_back)
        scored = [(window, scorer.score(window)) for window in parts.held_back]
        finite = [(window, found) for window, found in scored if found is not None]
        if len(finite) < len(scored):
            raise SettingsInvalid("training ended without finite weights: choose another seed or a lower learning rate")
        calibration, excesses = calibrate([found for _, found in finite])
        self.settings.update(
            vocabulary=parts.vocabulary.fingerprint, num_features=NUM_FEATURES,
            network=self._trained.network.config.to_settings(), shape=msgspec.to_builtins(self._shape),
            calibration=msgspec.to_builtins(calibration),
        )  # fmt: skip
        self.metrics.update(self._figures(finite), excess_quantiles=excesses)

    def _figures(self, finite: Sequence[tuple[Window, Scored]]) -> Mapping[str, Any]:
        parts, losses = self._parts, self._trained.losses
        rivals = {name: measure(kind(parts.known, len(parts.vocabulary)), parts.held_back)
                  for name, kind in (("most_frequent", Unigram), ("bigram", Bigram))}  # fmt: skip
        words = [word for window, _ in finite for word in window]
        return {
            "masked_prediction": {"bert": _accuracy(finite), **rivals},
            "loss_curve": losses, "words": len(parts.vocabulary), "train_windows": len(parts.learning),
            "held_back_windows": len(parts.held_back), "held_back_words": len(words),
            "held_back_unseen_words": sum(isinstance(word, str) for word in words),
        }  # fmt: skip


def _accuracy(finite: Sequence[tuple[Window, Scored]]) -> dict[str, float]:
    pairs = [
        (word == guess, surprise)
        for window, found in finite
        for word, guess, surprise in zip(window, found.expected, found.surprises, strict=True)
        if isinstance(word, int)
    ]
    hits, nats = np.array(pairs, dtype=float).T
    return {"accuracy": round(float(hits.mean()), 4), "nats": round(float(nats.mean()), 4)}


def _fingerprint(events: Sequence[LogEvent]) -> str:
    """Of what was trained on: 16 hexadecimal digits over times and raw lines in order."""
    whole = hashlib.sha256()
    for event in events:
        whole.update(f"{event.event_time}\0{event.source_id}\0{event.raw_line}\n".encode())
    return whole.hexdigest()[:16]
