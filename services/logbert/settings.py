"""Every knob of logbert. Read once, in __main__."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LogbertSettings(BaseSettings):
    """How log alerts are learnt, decided and ended. All seconds are event time unless said otherwise."""

    model_config = SettingsConfigDict(env_prefix="MOSELLE_LOGBERT_", frozen=True)

    warmup_seconds: float = Field(
        720.0, ge=0, description="First part of a host's logs, which is taken as normal; no alert comes from it. "
        "Longer knows more and speaks later.",
    )  # fmt: skip
    late_warmup_seconds: float = Field(
        120.0, ge=0, description="The same for an entity that appears once others are warm; ERROR alerts even then.",
    )  # fmt: skip
    window_seconds: float = Field(
        10.0, gt=0, description="Width of the windows in which events are counted. Wider hides short bursts.",
    )  # fmt: skip
    lateness_seconds: float = Field(
        60.0, ge=0, description="How much older than its source's newest event an event may be and still be judged; "
        "older ones are only counted.",
    )  # fmt: skip
    skew_seconds: float = Field(
        30.0, ge=0, description="How far apart the clocks of two hosts may be and still bear each other out.",
    )  # fmt: skip
    jump_seconds: float = Field(
        600.0, gt=0, description="How far ahead of its host an event may be before three in a row must agree on it.",
    )  # fmt: skip
    resolve_quiet_seconds: float = Field(
        20.0, gt=0, description="How long an entity must go on without anything bad until its alert is resolved. "
        "Longer joins troubles, shorter splits them; one that comes back gets twice as long, up to 300 s.",
    )  # fmt: skip
    source_silent_seconds: float = Field(
        300.0, gt=0, description="After how long without any data an open alert is resolved as source_silent; by the "
        "host's clock, or by wall time when nothing comes at all.",
    )  # fmt: skip
    silence_longest_gap_seconds: float = Field(
        20.0, gt=0, description="Only sources whose longest normal gap is at most this are watched for silence.",
    )  # fmt: skip
    silence_floor_seconds: float = Field(
        10.0, gt=0, description="No silence shorter than this alerts, however lively the source.",
    )  # fmt: skip
    silence_min_events: int = Field(
        50, ge=2, description="A source with fewer events while it learnt has no rhythm to be judged by.",
    )  # fmt: skip
    max_templates: int = Field(
        1000, ge=1, description="Templates at WARNING or above kept per entity, newest use first. More cost state.",
    )  # fmt: skip
    max_entities: int = Field(
        20_000, ge=1, description="Entities kept per partition; of more, those quiet for longest are forgotten.",
    )  # fmt: skip
    artifact: str = Field(
        "", description="Folder of the trained BERT. Empty takes the one that ships, trained on a small OpenStack; "
        "`none` leaves BERT out, and alerts then carry no verdict of it.",
    )  # fmt: skip
    device: Literal["cpu", "cuda", "torch-cpu"] = Field(
        "cpu", description="Where BERT runs: `cpu` by ONNX Runtime, `cuda` by torch on a GPU, `torch-cpu` by torch "
        "without one, for comparison. The last two need torch installed.",
    )  # fmt: skip
    bert_alone_windows: int = Field(
        2, ge=0, description="So many very unlikely windows of a source in a row make an alert that only BERT raises. "
        "More is quieter and later; 0 never alerts by BERT alone.",
    )  # fmt: skip
    runbook_url: str = Field("", description="Copied into every alert, for people to click.")
