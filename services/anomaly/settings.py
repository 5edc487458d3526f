"""Every knob of anomaly. Read once, in __main__."""

from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

#: Detectors that judge each series by itself and can name the band they expect.
VOTERS = ("range_novelty", "robust_z", "gaussian", "absolute_deviation", "seasonal_novelty")
#: Those, one that names no band, and the ones that judge an entity as a whole.
DETECTORS = (*VOTERS, "half_space_trees_each", "half_space_trees", "isolation_forest", "reconstruction")
#: What the names of River's own models begin with.
RIVER = "river.anomaly."


def unknown_detector(name: str, wanted: tuple[str, ...] = DETECTORS) -> str:
    """The sentence for a detector that there is not."""
    others = f", or one of River's models as {RIVER}LocalOutlierFactor?n_neighbors=5" if wanted == DETECTORS else ""
    return f"Detector {name!r} is unknown; wanted one of {', '.join(wanted)}{others}: correct the name in the settings."


class AnomalySettings(BaseSettings):
    """How metric alerts are learnt, decided and ended. All seconds are event time unless said otherwise."""

    model_config = SettingsConfigDict(env_prefix="MOSELLE_ANOMALY_", frozen=True)

    warmup_seconds: float = Field(
        720.0, ge=0, description="First part of a host's metrics, which is taken as normal; no alert comes from it. An "
        "entity or a signal that appears later has one of its own. Longer knows more and speaks later.",
    )  # fmt: skip
    min_samples: int = Field(
        30, ge=2, description="A signal with fewer values learnt raises nothing, however long ago it began.",
    )  # fmt: skip
    voters: tuple[str, ...] = Field(
        ("range_novelty", "robust_z"), min_length=1,
        description="Detectors that must all find a signal outside what they expect, as a JSON list of range_novelty, "
        "robust_z, gaussian, absolute_deviation, seasonal_novelty. More of them alert less.",
    )  # fmt: skip
    advisers: tuple[str, ...] = Field(
        ("half_space_trees", "gaussian"),
        description="Detectors whose scores stand in each alert's labels and decide nothing, as a JSON list: those "
        "that may vote, half_space_trees, half_space_trees_each, isolation_forest, reconstruction, and River's models "
        "as river.anomaly.LocalOutlierFactor?n_neighbors=5. Each costs time and state, a forest and River's own most; "
        "[] saves both.",
    )  # fmt: skip
    whole: Literal["alert", "advise", "off"] = Field(
        "advise", description="What it means when an entity's signals are unusual together though each may be usual by "
        "itself: `alert` raises and joins alerts by the rule unusual_together, `advise` shows the score in the labels "
        "of alerts that others raise, `off` saves time and state.",
    )  # fmt: skip
    whole_quiet_days: float = Field(
        30.0, gt=0, description="With `whole=alert`: once in how many days an entity of three signals or more reaches "
        "the line of the rule unusual_together, if its scores go on as they did. More days alert less.",
    )  # fmt: skip
    range_margin: float = Field(
        0.5, ge=0, description="How far outside everything learnt a value must lie, as a share of the learnt range.",
    )  # fmt: skip
    robust_z_line: float = Field(
        6.0, gt=0, description="How many robust standard deviations from the median a value must lie.",
    )  # fmt: skip
    unknown_metrics: Literal["join", "alert", "ignore"] = Field(
        "join", description="What happens to metrics that core/semantics.py does not know: `join` learns them and "
        "shows them in alerts that others raise, `alert` lets them raise alerts of their own (noisy: nobody said which "
        "direction is bad; with `whole=alert` only by what their entity's signals say together), `ignore` saves time "
        "and state.",
    )  # fmt: skip
    max_signals: int = Field(
        500, ge=1, description="Signals kept per entity; those that come after that many are counted and not learnt.",
    )  # fmt: skip
    max_entities: int = Field(
        20_000, ge=1, description="Entities kept per partition; of more, those quiet for longest are forgotten.",
    )  # fmt: skip
    drift: bool = Field(
        True, description="Whether signals are watched for changes that last: these are told in an alert of kind "
        "`drift`, severity info, and what was learnt of the signal is learnt anew. Costs time, memory and state.",
    )  # fmt: skip
    drift_signals: int = Field(
        100, ge=1, description="Signals of an entity that are watched for drift, the first that came; 1.3 kB each.",
    )  # fmt: skip
    gap_seconds: float = Field(
        300.0, gt=0, description="After a longer pause of a counter no rate is made over it: it begins anew.",
    )  # fmt: skip
    refractory_seconds: float = Field(
        60.0, ge=0, description="For how long after an alert the same signal alerts again only when it is worse.",
    )  # fmt: skip
    relearn_seconds: float = Field(
        3600.0, gt=0, description="A signal that stays outside for this long is at its new normal: its alert ends, and "
        "what was learnt of it is learnt anew. Shorter forgives lasting faults.",
    )  # fmt: skip
    resolve_quiet_seconds: float = Field(
        20.0, gt=0, description="How long an entity must go on with every signal inside until its alert is resolved. "
        "Longer joins troubles, shorter splits them; one that comes back gets twice as long, up to 300 s.",
    )  # fmt: skip
    source_silent_seconds: float = Field(
        300.0, gt=0, description="After how long without any data an open alert is resolved as source_silent; by the "
        "host's clock, or by wall time when nothing comes at all.",
    )  # fmt: skip
    stopped_floor_seconds: float = Field(
        30.0, gt=0, description="No missing scrape alerts before this, however short the interval.",
    )  # fmt: skip
    lull_seconds: float = Field(
        20.0, gt=0, description="When nothing at all comes of a host for longer, the rest of that time is nobody's "
        "missing scrape. Must stay below stopped_floor_seconds.",
    )  # fmt: skip
    lateness_seconds: float = Field(
        60.0, ge=0, description="How much older than its scrape's newest sample a sample may be and still count as in "
        "time; a series takes no sample older than its newest in any case.",
    )  # fmt: skip
    skew_seconds: float = Field(
        30.0, ge=0, description="How far apart the clocks of two hosts may be and still bear each other out.",
    )  # fmt: skip
    jump_seconds: float = Field(
        600.0, gt=0, description="How far ahead of its host a sample may be before three in a row must agree on it.",
    )  # fmt: skip
    alerts_per_day: float = Field(
        0.0, ge=0, description="How many alerts a day people want, shared evenly by the partitions of the input; 0 for "
        "no limit. Troubles beyond it are counted, and named in the next alert; a quarter is kept for critical and "
        "clear ones (docs/operations.md).",
    )  # fmt: skip
    runbook_url: str = Field("", description="Copied into every alert, for people to click.")
    runbooks: dict[str, str] = Field(
        {}, description='Where to read what to do, by rule, as JSON: {"latency": "https://.."}; rules that are not '
        "named have runbook_url.",
    )  # fmt: skip

    @field_validator("voters")
    @classmethod
    def _are_voters(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known(names, VOTERS)

    @field_validator("advisers")
    @classmethod
    def _are_detectors(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known(names, DETECTORS)

    @model_validator(mode="after")
    def _lull_is_short(self) -> "AnomalySettings":
        """Else whoever is first to come back after a pause of everything makes all others look stopped."""
        if self.lull_seconds >= self.stopped_floor_seconds:
            raise ValueError(
                f"lull_seconds is {self.lull_seconds:g} and must be below stopped_floor_seconds, "
                f"{self.stopped_floor_seconds:g}"
            )
        return self


def _known(names: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in wanted and not (wanted == DETECTORS and name.startswith(RIVER)):
            raise ValueError(unknown_detector(name, wanted))
    if len(set(names)) < len(names):
        raise ValueError(f"{list(names)} names a detector twice; wanted each once")
    return names
