"""All that is known of one entity: its detectors' past, its open alert, and which events it has counted."""

from collections.abc import Sequence

import msgspec

from services.common.alerts import OpenAlert, Resolved, Subject
from services.common.errors import ArtifactMismatch
from services.logbert.core.events import ERROR_NUMBER, Learning, LogEvent
from services.logbert.model.abstract import Detector
from services.logbert.model.bert import Bert
from services.logbert.model.sequence_watch import SequenceWatch

STATE_VERSION = 1
MAX_RECENT = 128


class EntityState(msgspec.Struct):
    """What is saved of an entity; times in microseconds UTC.

    Attributes:
        warm_at: event time from which its WARNING lines are judged.
        full_at: event time from which rules are judged that compare with its own pace (silence, access lines).
        is_late: it appeared when others were warm, so its ERROR lines are judged from the first on.
        recent: origins of the last counted events, to know repeated ones.
        detectors: each rule's saved knowledge.
        sequences: the windows that BERT reads.
    """

    subject: Subject
    program: str
    host: str
    warm_at: int
    full_at: int
    is_late: bool
    watermark: int = 0
    sources: list[str] = msgspec.field(default_factory=list)
    recent: dict[str, None] = msgspec.field(default_factory=dict)
    open: OpenAlert | None = None
    last: Resolved | None = None
    detectors: dict[str, bytes] = msgspec.field(default_factory=dict)
    sequences: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(EntityState)


class EntityModel:
    """One entity with its detectors, in the order in which they are asked.

    Args:
        bert: what reads its lines' order; None without an artifact.
    """

    def __init__(self, state: EntityState, detectors: Sequence[Detector], bert: Bert | None = None) -> None:
        self.state = state
        self.sequences = SequenceWatch(bert, state.subject.entity_id, state.sequences) if bert else None
        self.for_events = [detector for detector in detectors if detector.reads == "events"]
        self.for_pauses = [detector for detector in detectors if detector.reads == "pauses"]
        self._detectors = list(detectors)
        for detector in detectors:
            if detector.rule in state.detectors:
                detector.load(state.detectors[detector.rule])

    def take(self, event: LogEvent) -> bool:
        """Whether a counted event is new; remembers it. Of more than MAX_RECENT, the first are forgotten."""
        recent = self.state.recent
        if event.origin in recent:
            return False
        recent[event.origin] = None
        if len(recent) > MAX_RECENT:
            del recent[next(iter(recent))]
        return True

    def may_speak(self, rule: str, event: LogEvent) -> bool:
        """Whether the rule has learnt enough for this event."""
        if event.severity >= ERROR_NUMBER and rule in ("error_burst", "unseen_template"):
            return self.state.is_late or event.event_time >= self.state.warm_at
        is_template = rule == "unseen_template"
        return event.event_time >= (self.state.warm_at if is_template else self.state.full_at)

    def learning(self, event: LogEvent) -> Learning:
        """How much an event may teach: nothing while an alert is open, slowly once warm."""
        if self.state.open is not None:
            return "held"
        if self.state.is_late and event.severity >= ERROR_NUMBER:
            return "slow"
        until = self.state.warm_at if event.severity >= 13 else self.state.full_at
        return "warm_up" if event.event_time < until else "slow"

    def save(self) -> bytes:
        """MessagePack of STATE_VERSION."""
        self.state.detectors = {detector.rule: detector.save() for detector in self._detectors}
        if self.sequences is not None:
            self.state.sequences = self.sequences.save()
        return _encoder.encode(self.state)


def decode_state(payload: bytes, version: int) -> EntityState:
    """What `EntityModel.save` made.

    Raises:
        ArtifactMismatch: another version, or bytes that are no entity's state.
    """
    if version != STATE_VERSION:
        raise ArtifactMismatch(
            f"logbert.state.v1 holds an entity of version {version}, this program reads {STATE_VERSION}: "
            "run the program that wrote it, or delete the topic to learn anew."
        )
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise ArtifactMismatch(f"An entity in logbert.state.v1 cannot be read ({error}); delete the topic.") from error
