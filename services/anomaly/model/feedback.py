"""What people said of alerts, and how far it moves lines: bounded, forgotten over weeks, taken back by another word."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from services.anomaly.model.bank import Floats
from services.common.errors import InvalidMessage

SECOND = 1_000_000
DAY = 86_400 * SECOND

#: What one word multiplies a line by, or divides it by.
STEP = 1.5
#: Lines are at least and at most so many times as far from the usual value as without any word.
LEAST, MOST = 0.5, 4.0
#: After this time a word weighs half as much.
HALF_LIFE = 14 * DAY
#: After this it is forgotten: it weighs less than a hundredth.
FORGOTTEN = 7 * HALF_LIFE
#: Words kept of one entity; of more the oldest go.
MAX_WORDS = 64
#: Stands for all signals of an entity.
ALL = ""

Verdict = Literal["wrong", "right", "missed"]
#: In steps: a wrong alert needs a line farther out, a missed trouble a nearer one. That an alert was right says that
#: its line is good: it takes back words against it, and no more.
STEPS: dict[Verdict, float] = {"wrong": 1.0, "right": -1.0, "missed": -1.0}


class Word(NamedTuple):
    """One record of feedback.v1 about an entity; times in microseconds UTC.

    Attributes:
        subject_id: alert_id, or `missed:` and the entity.
        signals: what it is about. Of a missed trouble none means all of the entity; an alert without signals, of a
            scrape that stopped, is about none.
        starts_at: since when it was so; 0 when nobody said.
    """

    subject_id: str
    entity_id: str
    verdict: Verdict
    signals: tuple[str, ...]
    given_at: int
    starts_at: int = 0
    rules: tuple[str, ...] = ()

    @classmethod
    def from_record(cls, fields: Mapping[str, Any], detector: str) -> "Word | None":
        """The word in a record of feedback.v1; None for one that says nothing to this detector.

        That is one about an alert of another detector, about an incident, or a silence.

        Raises:
            InvalidMessage: `not_feedback`: readable Avro of another topic, or fields of another form.
        """
        try:
            verdict, of = fields["verdict"], fields["detector"]
            if verdict not in STEPS or not fields["entity_id"] or (of and of != detector):
                return None
            return cls(
                str(fields["subject_id"]), str(fields["entity_id"]), verdict, tuple(map(str, fields["signals"])),
                int(fields["given_at"]), int(fields["starts_at"] or 0), tuple(map(str, fields["rules"])),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidMessage("not_feedback", f"field {error} is missing or has another form") from error

    @property
    def about(self) -> tuple[str, int]:
        """What a later word takes back: the same alert, or the same missed trouble."""
        return self.subject_id, self.starts_at if self.verdict == "missed" else 0


class Feedback:
    """All words that still count, by entity: a pure function of feedback.v1, in whatever order and often it is read.

    The factor of a signal is STEP to the power of the words about it, each halved every HALF_LIFE: `wrong` +1, `missed`
    -1, `right` -1 but never below what no word would give. It lies within LEAST and MOST: no number of people can
    switch a signal off. Later words on the same alert replace earlier ones, so that who errs can take it back.
    """

    def __init__(self) -> None:
        self._words: dict[str, dict[tuple[str, int], Word]] = {}

    def hear(self, word: Word) -> None:
        """Takes a word in; one that was heard before, or is older than what was said later, changes nothing."""
        words = self._words.setdefault(word.entity_id, {})
        held = words.get(word.about)
        if held is not None and (held.given_at, held.verdict) >= (word.given_at, word.verdict):
            return
        words[word.about] = word
        if len(words) > MAX_WORDS:
            del words[min(words, key=lambda about: words[about].given_at)]

    def forget(self, now: int) -> None:
        """Drops words that no longer count, so that what is held is bounded by what people say in some weeks."""
        for entity_id, words in list(self._words.items()):
            for about in [about for about, word in words.items() if now - word.given_at >= FORGOTTEN]:
                del words[about]
            if not words:
                del self._words[entity_id]

    def verdict(self, alert_id: str, entity_id: str) -> Verdict | None:
        """What was said last of an alert."""
        word = self._words.get(entity_id, {}).get((alert_id, 0))
        return word.verdict if word is not None else None

    @property
    def entities(self) -> list[str]:
        """Those of which anything was said."""
        return list(self._words)

    def __len__(self) -> int:
        return sum(map(len, self._words.values()))

    def factors(self, entity_id: str, now: int) -> dict[str, float]:
        """By signal, how many times as far its line lies; ALL for the signals that are not named.

        Empty for an entity of which nothing was said: the common case costs one look-up.
        """
        words = self._words.get(entity_id)
        if not words:
            return {}
        names = {name for word in words.values() for name in word.signals} | {ALL}
        return {name: _factor([word for word in words.values() if _is_about(word, name)], now) for name in names}


def _is_about(word: Word, signal: str) -> bool:
    return signal in word.signals or (word.verdict == "missed" and not word.signals)


def _factor(words: Sequence[Word], now: int) -> float:
    steps = {verdict: 0.0 for verdict in STEPS}
    for word in words:
        age = max(0, now - word.given_at)
        if age < FORGOTTEN:
            steps[word.verdict] += 0.5 ** (age / HALF_LIFE)
    wrong = max(0.0, steps["wrong"] * STEPS["wrong"] + steps["right"] * STEPS["right"])
    power = wrong + steps["missed"] * STEPS["missed"]
    return max(LEAST, min(MOST, math.exp(power * math.log(STEP))))


def adjusted(scores: Floats, factors: Floats) -> Floats:
    """Scores in [0, 1] with 0.5 at their line, as they are when the line lies `factors` times as far out."""
    # s / (1 - s) is the distance in lines: divided by the factor, and made a score again.
    return np.asarray(scores / (scores + factors * (1.0 - scores)), dtype=np.float64)
