"""What every log detector promises; tests/conformance/test_detectors.py holds all of them to it."""

from typing import Literal, Protocol

from services.logbert.core.events import Alarm, Learning, Observation


class Detector(Protocol):
    """One rule's or model's knowledge of one entity.

    The order for each observation is `score`, then, if the score lies above `threshold`, `explain`, then `learn`.

    The promises: the score is finite and in [0, 1], high is anomalous; scoring and explaining learn nothing and leave
    the observation as it is, so the same input scores the same; what `load` makes of `save` scores as the original; an
    observation the detector is not for scores 0.0.
    """

    rule: str
    kind: str
    threshold: float
    #: Which observations it is for; the pipeline hands it no others.
    reads: Literal["events", "pauses"]

    def score(self, seen: Observation) -> float:
        """How anomalous this observation is, in the light of what was learnt before it."""
        ...

    def explain(self, seen: Observation) -> Alarm:
        """What to tell a person about an observation that scored above the threshold."""
        ...

    def learn(self, seen: Observation, learning: Learning) -> None:
        """Takes the observation in: counts it, and remembers as much of it as normal as `learning` allows."""
        ...

    def save(self) -> bytes:
        """All that was learnt, versioned by the pipeline; never pickle."""
        ...

    def load(self, payload: bytes) -> None:
        """Takes back what `save` gave. Raises msgspec.MsgspecError for other bytes."""
        ...
