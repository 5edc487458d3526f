"""Every knob of the predictor. Read once, in __main__."""

from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

TARGETS = (
    "cpu_cores", "memory_used_bytes", "disk_io_bytes_per_second", "network_io_bytes_per_second", "latency_seconds",
    "error_ratio", "cpu_used_ratio", "memory_used_ratio", "disk_busy_ratio",
)  # fmt: skip
HORIZONS_SECONDS = tuple(range(60, 901, 60))


class PredictorSettings(BaseSettings):
    """What is predicted, how often, how far ahead, and when it is worth an alert. Seconds are event time."""

    model_config = SettingsConfigDict(env_prefix="MOSELLE_PREDICTOR_", frozen=True)

    targets: tuple[str, ...] = Field(
        TARGETS, min_length=1, description="The features that are predicted, as a JSON list. Each costs about 5 KB of "
        "state an entity that has it. One that the artifact was not trained for is left to the simple forecasters.",
    )  # fmt: skip
    every_seconds: int = Field(
        60, ge=10, le=900, description="How often each entity is predicted. More often costs that much more records.",
    )  # fmt: skip
    horizons_seconds: tuple[int, ...] = Field(
        HORIZONS_SECONDS, min_length=1, description="How far ahead, as a JSON list, ascending multiples of "
        "every_seconds. Others than the shipped ones need an artifact trained for them.",
    )  # fmt: skip
    artifact: str = Field(
        "", description="The LSTM's artifact: a folder; empty for the shipped one, none to do without. A broken one "
        "stops the service at start.",
    )  # fmt: skip
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="cpu runs on ONNX Runtime; cuda needs torch (moselle[gpu]) and gives the same numbers.",
    )  # fmt: skip
    num_residuals: int = Field(
        64, ge=19, le=1000, description="Errors remembered per series, forecaster and horizon, one each every_seconds. "
        "More make intervals steadier and slower to follow; each costs 40 bytes of state a series.",
    )  # fmt: skip
    switch_margin: float = Field(
        0.05, ge=0, lt=1, description="By which share a forecaster's lately measured error must be lower than the "
        "speaker's to take its place. Lower changes speakers more often.",
    )  # fmt: skip
    limits: dict[str, float] = Field(
        {"memory_used_ratio": 0.9, "disk_busy_ratio": 0.95},
        description="Alert when a target will reach its limit, as a JSON object of target to value. A host's "
        "cpu_used_ratio is not among them as shipped: a busy processor is not a trouble by itself.",
    )  # fmt: skip
    alert_probability: float = Field(
        0.9, gt=0, le=1, description="How likely, by the errors of the past, the limit must be reached within the "
        "horizons. Lower warns earlier and more often in vain.",
    )  # fmt: skip
    alert_predictions: int = Field(
        3, ge=1, description="So many predictions in a row must say so. More wait longer and flap less.",
    )  # fmt: skip
    resolve_quiet_seconds: float = Field(
        300.0, gt=0, description="An alert ends when for so long nothing said any more that the limit is near.",
    )  # fmt: skip
    source_silent_seconds: float = Field(
        300.0, gt=0, description="An open alert whose entity sends nothing for so long, by the wall clock, is resolved "
        "as source_silent.",
    )  # fmt: skip
    max_entities: int = Field(
        5000, ge=1, description="Entities held by a replica, about 50 KB each; of more, those quiet for longest are "
        "forgotten.",
    )  # fmt: skip
    runbook_url: str = Field("", description="Copied into every alert, for people to click.")

    @model_validator(mode="after")
    def _fits(self) -> "PredictorSettings":
        horizons = self.horizons_seconds
        if list(horizons) != sorted(set(horizons)) or any(h <= 0 or h % self.every_seconds for h in horizons):
            raise ValueError(
                f"horizons_seconds {list(horizons)} must ascend and be multiples of every_seconds {self.every_seconds}"
            )
        if self.every_seconds % 10:
            raise ValueError(f"every_seconds {self.every_seconds} must be a multiple of the step, 10")
        return self
