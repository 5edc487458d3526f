"""Every knob of the feature service. Read once, in `__main__`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class FeaturesSettings(BaseSettings):
    """How steps are cut and closed, and how the Faust worker runs."""

    model_config = SettingsConfigDict(env_prefix="MOSELLE_FEATURES_", frozen=True)

    step_seconds: int = Field(
        10, ge=1, le=3600,
        description="Length of a step in event time. Doubling it halves the rows; models read only the step that they "
        "were trained with. Log rates come in windows of ten seconds: give a multiple of it.",
    )  # fmt: skip
    lateness_seconds: float = Field(
        10.0, ge=0,
        description="Event time for which a step stays open after its end, by its entity's own watermark. More waits "
        "longer for late data; less drops it.",
    )  # fmt: skip
    quiet_seconds: float = Field(
        10.0, gt=0,
        description="After this long without a record of an entity, by Kafka's time, its open steps are closed. Data "
        "for them that comes later is dropped.",
    )  # fmt: skip
    batch_records: int = Field(
        500, ge=1, le=10_000,
        description="The most records that an agent handles at once. Their outputs are acknowledged together: larger "
        "is faster, and repeats more after a kill.",
    )  # fmt: skip
    commit_seconds: float = Field(
        1.0, gt=0,
        description="How often offsets are committed. What was read since is read again after a kill, and skipped.",
    )  # fmt: skip
    changelog_replication: int = Field(
        1, ge=1, le=32767,
        description="Copies of the Faust tables' changelog topics, which the worker makes itself at its first start. "
        "Give a cluster of three or more brokers 3: with 1, a lost broker takes the tables' state along.",
    )  # fmt: skip
    history_retention_days: int = Field(
        184, ge=1, le=3650,
        description="How long the database keeps rows, by their event time; old ones go once a day, in large parts. "
        "Twice as long is twice the disk.",
    )  # fmt: skip
    online_max_vectors: int = Field(
        200_000, ge=1,
        description="Newest vectors that online features hold, one an entity and feature set. Of more, those longest "
        "without news are forgotten and answered as missing. A vector of 100 features takes about 1 kB.",
    )  # fmt: skip
    online_workers: int = Field(8, ge=1, le=256, description="gRPC requests answered at once; others wait.")
