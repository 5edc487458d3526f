"""Every knob of ingest. Read once, in `__main__`."""

import json
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.common.topics import LOGS_RAW, MAX_RAW_BYTES, METRICS_RAW

#: What `mask_personal=on` masks; `core/pseudonyms.py` says what each kind is.
ALL_PERSONAL = ("ip", "mac", "email", "user_id", "project_id")


class IngestSettings(BaseSettings):
    """What ingest reads and how long it waits for a traceback's next line."""

    model_config = SettingsConfigDict(env_prefix="MOSELLE_INGEST_", frozen=True)

    log_topics: tuple[str, ...] = Field(
        (LOGS_RAW.name,),
        description="Topics with log lines, as a JSON list. Each needs a dead-letter topic with .dlq behind its name.",
    )
    metric_topics: tuple[str, ...] = Field(
        (METRICS_RAW.name,),
        description="Topics with metrics, as a JSON list. What is no metric there is a dead letter.",
    )
    topic_shapes: dict[str, str] = Field(
        {},
        description="Topics whose messages all have one shape, as a JSON map such as {\"metrics.raw\": \"influx\"}. "
        "Without it each message is looked at. A message of another shape there is then a dead letter, or plain text.",
    )  # fmt: skip
    timezone: str = Field(
        "UTC",
        description="Zone of the times in lines that name none, such as Europe/Berlin. A wrong one shifts every event "
        "of such sources by its offset.",
    )
    source_timezones: dict[str, str] = Field(
        {},
        description="Zones of single sources, as a JSON map from a host's name, host|file or topic:name to a zone: "
        '{"edge-*": "Asia/Tokyo", "*|/var/log/apache2/*": "UTC"}. The first that matches counts, by * ? and [].',
    )
    max_expanded_bytes: int = Field(
        16_777_216, ge=65_536,
        description="Largest size of a gzip or zstd value once expanded. Larger ones are dead letters; each value "
        "being expanded may take this much memory.",
    )  # fmt: skip
    max_templates: int = Field(
        20_000, ge=100,
        description="Templates kept. Beyond it, unseen messages share the template <*>: detectors of new templates "
        "see nothing new any more, and memory stays bounded.",
    )  # fmt: skip
    fold_idle_ms: int = Field(
        300, ge=0,
        description="Wall time after which a silent event that looks complete is let go. It delays the last event of "
        "a quiet source; less may cut a traceback in two.",
    )  # fmt: skip
    traceback_idle_ms: int = Field(
        5000, ge=0,
        description="The same for a traceback whose last line has not come yet.",
    )  # fmt: skip
    fold_max_seconds: float = Field(
        30.0, gt=0,
        description="Event time of a source after which an open event of another of its processes is let go. Less "
        "may cut tracebacks in two when processes share a file.",
    )  # fmt: skip
    fold_max_lines: int = Field(
        1000, ge=1,
        description="Lines of one event at most; more go into a second event with the same header.",
    )  # fmt: skip
    fold_max_chars: int = Field(
        131_072, ge=1024, le=200_000,
        description="Characters of one event, and of all open ones of a source, at most; more go into a second "
        "event. It bounds the saved state of a source, which must fit into a Kafka record.",
    )  # fmt: skip
    max_open_folds: int = Field(
        10_000, ge=1,
        description="Open events of one partition at most, or as many characters as this many of 4096 hold; beyond "
        "it, those that wrote longest ago are let go, which may cut tracebacks in two. It bounds memory when sources "
        "are many.",
    )  # fmt: skip
    max_sources: int = Field(
        10_000, ge=1,
        description="Sources of which completeness is counted, about a kilobyte each; beyond it, those that wrote "
        "longest ago are forgotten by the page. Their lines are read all the same.",
    )  # fmt: skip
    sequences: bool = Field(
        False,
        description="Whether slim events keyed by request go to logs.sequences.v1. One more record for each event "
        "that has a request or instance id.",
    )  # fmt: skip

    collectd_rates: bool = Field(
        True,
        description="Whether collectd's counters come as rates, named .._per_second: so unless write_kafka has "
        "StoreRates false, whatever its manual says. With false they are counters, named .._total.",
    )
    graphite_prefix: str = Field(
        "",
        description="What stands before the host in Graphite's paths, such as `servers.` or collectd's Prefix. Without "
        "it the prefix is taken for the host, and all hosts are one.",
    )
    receiver_host: str = Field(
        "127.0.0.1",
        description="Where the receiver takes remote_write and OTLP. Any other address needs tokens or a client CA.",
    )
    receiver_port: int = Field(0, ge=0, le=65535, description="Its port; 0 takes a free one, which the log names.")
    receiver_tokens: tuple[SecretStr, ...] = Field(
        (),
        description="Bearer tokens that senders may use, as a JSON list; several while one is being replaced. Without "
        "TLS whoever sees the traffic sees them.",
    )
    receiver_tls_cert: str = Field(
        "", description="PEM file of the receiver's certificate chain; empty for plain HTTP."
    )
    receiver_tls_key: str = Field("", description="PEM file of its private key.")
    receiver_client_ca: str = Field(
        "",
        description="PEM file of the CA of senders' certificates: whoever has none of it gets no connection. With "
        "tokens set, too, both are asked for.",
    )
    receiver_max_requests: int = Field(
        64, ge=1, le=1024,
        description="Requests in hand at once; more get 429 with Retry-After. Each may hold receiver_max_body_bytes.",
    )  # fmt: skip
    receiver_max_body_bytes: int = Field(
        4_194_304, ge=65_536, le=MAX_RAW_BYTES - 2**20,
        description="Largest body as sent; larger ones get 413. The raw topics must take messages of that size.",
    )  # fmt: skip
    receiver_accept_seconds: float = Field(
        10.0, gt=0,
        description="How long Kafka may take a request; then the sender gets 503 and comes again. It must be less than "
        "the sender's own time-out.",
    )  # fmt: skip

    mask_personal: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Personal data that becomes pseudonyms before anything is written: off, on, or a JSON list of ip, "
        "mac, email, user_id, project_id. What was written before stays as it is; docs/privacy.md says what is found.",
    )
    mask_fields: dict[str, str] = Field(
        {},
        description="Further fields, attributes and labels whose whole value is personal, each with the kind that it "
        'is, such as {"customer": "user_id"}. They count only for kinds that are masked.',
    )
    mask_hosts: bool = Field(
        False,
        description="Whether host names and entity ids become pseudonyms too. Alerts, forecasts and placements then "
        "name pseudonyms: whoever acts on them needs the key. Changing it makes every host and service a new one.",
    )
    mask_key: SecretStr = Field(
        SecretStr(""),
        description="The key of the pseudonyms, at least 32 bytes, the same for all replicas; needed when anything is "
        "masked. Who has it can test a guess; who loses it can never again match a value to its pseudonym.",
    )
    mask_key_id: str = Field(
        "k1",
        description="Which key it is: 1 to 8 of a-z and 0-9 with a digit, part of each pseudonym. A new key needs a "
        "new id; from then on the same value has another pseudonym.",
    )

    @field_validator("mask_personal", mode="before")
    @classmethod
    def _are_kinds(cls, chosen: object) -> object:
        return kinds_of(chosen) if isinstance(chosen, str) else chosen

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{timezone!r} is no IANA name such as Europe/Berlin") from error
        return timezone

    @field_validator("source_timezones")
    @classmethod
    def _are_known(cls, timezones: dict[str, str]) -> dict[str, str]:
        for pattern, timezone in timezones.items():
            if not pattern.removeprefix("topic:"):
                raise ValueError(f"the pattern {pattern!r} names nothing: wanted a host, host|file or topic:name")
            cls._is_known(timezone)
        return timezones


def kinds_of(chosen: str) -> tuple[str, ...]:
    """`off`, `on`, or a JSON list of kinds. Raises ValueError for anything else."""
    if chosen in ("", "off", "on"):
        return ALL_PERSONAL if chosen == "on" else ()
    try:
        kinds = json.loads(chosen)
    except ValueError:
        kinds = None
    if not isinstance(kinds, list) or not all(kind in ALL_PERSONAL for kind in kinds):
        raise ValueError(f"wanted off, on, or a JSON list of {', '.join(ALL_PERSONAL)}")
    return tuple(kinds)
