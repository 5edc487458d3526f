"""Every knob of placement. Read once, in __main__."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class PlacementSettings(BaseSettings):
    """How knowledge ages, how long room is held, how much may wait."""

    model_config = SettingsConfigDict(env_prefix="MOSELLE_PLACEMENT_", frozen=True)

    reservation_seconds: float = Field(
        300.0, gt=0, le=86_400, description="How long a decision holds its room unless Confirm or Release comes. "
        "Longer than an orchestrator needs to bind wastes room when it never does; shorter lets room be given twice.",
    )  # fmt: skip
    ramp_seconds: float = Field(
        60.0, ge=0, description="How long after Confirm a workload's load is taken as not yet visible in the metrics "
        "and added to them. Shorter sends more workloads to one node before its load shows.",
    )  # fmt: skip
    alert_half_life_seconds: float = Field(
        300.0, gt=0, description="After this long a resolved alert counts half. Longer avoids a node for longer.",
    )  # fmt: skip
    alert_hold_seconds: float = Field(
        3600.0, gt=0, description="A firing alert without news for this long begins to fade as if it were over, so "
        "that a detector that is gone shuts no node out for good.",
    )  # fmt: skip
    parent_weight: float = Field(
        0.5, ge=0, le=1, description="How much of an alert on what nodes belong to (their host, a program that they "
        "share) counts for each of them. 1 treats it as each node's own, 0 ignores it.",
    )  # fmt: skip
    features_valid_seconds: float = Field(
        120.0, gt=0, description="After this long without a newer one, a feature counts as unknown.",
    )  # fmt: skip
    max_utilisation_ratio: float = Field(
        0.9, gt=0, le=1, description="Admission control: a node whose processors are busy for this share, with what is "
        "on its way there, takes no more, and a workload that only such nodes could hold is refused. Above it every "
        "placement slows down all that runs there. 1 switches it off.",
    )  # fmt: skip
    max_view_age_seconds: float = Field(
        30.0, gt=0, description="When the topics could not be read for this long, requests get FAILED_PRECONDITION: "
        "the orchestrator decides by itself. Longer decides on what was known before.",
    )  # fmt: skip
    max_decisions: int = Field(
        20_000, ge=100, description="Decisions that hold no room and are remembered, to give a repeated request the "
        "same answer and to explain them. About 6 kB of memory each; a repeat of a forgotten one is decided anew.",
    )  # fmt: skip
    max_waiting_requests: int = Field(
        256, ge=1, description="Requests in hand at once; those beyond get RESOURCE_EXHAUSTED at once instead of "
        "waiting until the orchestrator gives up.",
    )  # fmt: skip
    max_request_bytes: int = Field(
        8 * 2**20, ge=2**16, le=2**30, description="Larger requests get RESOURCE_EXHAUSTED. One thousand workloads of "
        "a batch take one to two megabytes.",
    )  # fmt: skip
    drain_seconds: float = Field(
        5.0, ge=0, le=600, description="After SIGTERM, how long requests in hand may take before they are cut off; "
        "those not begun and new ones get UNAVAILABLE at once. Longer than the platform waits before it kills is for "
        "nothing.",
    )  # fmt: skip
    max_watchers: int = Field(
        8, ge=0, description="Streams of WatchDecisions at once; each holds a thread for as long as it lasts.",
    )  # fmt: skip
    max_workers: int = Field(
        16, ge=2, description="Requests answered at once, watchers not counted. More wait in memory.",
    )  # fmt: skip
    publish_linger_ms: float = Field(
        0.0, ge=0, le=1000, description="How long a decision waits for others before it goes to Kafka. More costs "
        "latency and saves round trips; those that come while one is on its way go together anyway.",
    )  # fmt: skip
    facade_port: int | None = Field(
        None, ge=0, le=65535, description="Port of the HTTP facade for NovaCron; not set for none, 0 takes a free one, "
        "which the log names. NovaCron's scheduler looks for 8095, its migration for 8000.",
    )  # fmt: skip
    facade_host: str = Field(
        "127.0.0.1", description="Where the facade answers. Any other address needs tokens, a client CA, or "
        "facade_is_open.",
    )  # fmt: skip
    facade_is_open: bool = Field(
        False, description="True lets anybody who reaches the facade ask it: NovaCron's scheduler sends no token. It "
        "tells loads, alerts and names of nodes, and changes nothing.",
    )  # fmt: skip
    facade_tokens: tuple[SecretStr, ...] = Field(
        (), description="Bearer tokens that callers may use, as a JSON list; several while one is being replaced. "
        "Without TLS whoever sees the traffic sees them.",
    )  # fmt: skip
    facade_tls_cert: str = Field("", description="PEM file of the facade's certificate chain; empty for plain HTTP.")
    facade_tls_key: str = Field("", description="PEM file of its private key.")
    facade_client_ca: str = Field(
        "", description="PEM file of the CA of callers' certificates: whoever has none of it gets no connection.",
    )  # fmt: skip
    facade_max_body_bytes: int = Field(
        1_048_576, ge=1024, le=16_777_216, description="Largest question; larger ones get 413. Reading a megabyte of "
        "JSON takes a few milliseconds, in which nobody else is answered.",
    )  # fmt: skip
    facade_max_connections: int = Field(
        512, ge=1, le=10_000, description="Connections at once; one more gets 503. Each takes a file descriptor.",
    )  # fmt: skip
    kubernetes: str = Field(
        "", description="The API server whose nodes and pods are followed: `in-cluster` for that of the service "
        "account, or the path of a kubeconfig file; empty for none. Nodes go to entities.v1, pods hold room here.",
    )  # fmt: skip
    extender_port: int | None = Field(
        None, ge=0, le=65535, description="Port on which a Kubernetes scheduler's questions are answered (extender "
        "v1); not set for none, 0 takes a free one, which the log names.",
    )  # fmt: skip
    extender_host: str = Field(
        "127.0.0.1", description="Where the extender answers. Any other address needs a client CA, or "
        "extender_is_open.",
    )  # fmt: skip
    extender_is_open: bool = Field(
        False, description="True lets anybody who reaches the extender ask it: a scheduler has no token to give. Who "
        "asks about a pod that exists makes a record, and room is held for it for extender_reservation_seconds.",
    )  # fmt: skip
    extender_tls_cert: str = Field(
        "", description="PEM file of the extender's certificate chain; empty for plain HTTP."
    )
    extender_tls_key: str = Field("", description="PEM file of its private key.")
    extender_client_ca: str = Field("", description="PEM file of the CA of the schedulers' certificates.")
    extender_live_percent: int = Field(
        0, ge=0, le=100, description="Share of pods, by a hash of their UID, for which our word counts. The others are "
        "shadow: all nodes pass with equal marks, and the decision is recorded to compare. Raise it by 10, 50, 100.",
    )  # fmt: skip
    extender_deadline_ms: float = Field(
        50.0, gt=0, le=10_000, description="How long an answer may wait for the matrix before a neutral one goes out. "
        "Keep it well below the scheduler's httpTimeout: a time-out costs each pod that much, twice.",
    )  # fmt: skip
    extender_max_late: int = Field(
        3, ge=1, description="Late answers in a row after which only neutral ones are given for a while.",
    )  # fmt: skip
    extender_rest_seconds: float = Field(
        2.0, gt=0, le=600, description="How long that while is, before one question is tried again.",
    )  # fmt: skip
    extender_reservation_seconds: float = Field(
        30.0, gt=0, le=3600, description="How long a live decision holds room for a pod that is not bound. The watch "
        "on pods ends it sooner; longer keeps room empty for pods that the scheduler sent elsewhere or gave up.",
    )  # fmt: skip
    extender_max_body_bytes: int = Field(
        16_777_216, ge=65_536, le=268_435_456, description="Largest question; larger ones get 413, and the scheduler "
        "goes on without us. Whole nodes take about 4 kB each; with nodeCacheCapable it is 16 bytes.",
    )  # fmt: skip
    extender_max_connections: int = Field(
        64, ge=1, le=10_000, description="Connections at once; one more gets 503. A scheduler uses one.",
    )  # fmt: skip
    outcome_patience_seconds: float = Field(
        15.0, ge=0, le=3600, description="How long the replica that decided about a pod has to record what became of "
        "it, before another one that watches does.",
    )  # fmt: skip
