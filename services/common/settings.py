"""Settings that every service shares. Each service adds its own; the environment is read once, in `__main__`."""

from typing import TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from services.common.errors import SettingsInvalid

S = TypeVar("S", bound=BaseSettings)


class CommonSettings(BaseSettings):
    """What every service needs to know: the broker, its own name, where it listens."""

    model_config = SettingsConfigDict(env_prefix="MOSELLE_", frozen=True)

    kafka_bootstrap: str = Field(
        "127.0.0.1:9092", description="Kafka's host:port list. A service stops at start when none of them answers."
    )
    cluster: str = Field(
        "default",
        min_length=1,
        description="The name of the watched cloud in every record. Changing it changes every alert's fingerprint.",
    )
    replica: int = Field(
        0,
        ge=0,
        description="This replica's number, stable over restarts: it names the group member and the transactional id, "
        "so that a killed replica reads again within two seconds. Two processes with one number shut each other out.",
    )
    http_host: str = Field(
        "127.0.0.1", description="Where /healthz, /readyz and /metrics listen. Other addresses expose them."
    )
    http_port: int = Field(0, ge=0, le=65535, description="Their port; 0 takes a free one, which the log names.")
    grpc_host: str = Field(
        "127.0.0.1", description="Where services with a gRPC interface answer. Other addresses expose it."
    )
    grpc_port: int = Field(
        0, ge=0, le=65535, description="Its port; 0 takes a free one, which the log names. Others ignore it."
    )
    grpc_tls_cert: str = Field(
        "", description="PEM file of the certificate chain that gRPC answers with; empty for plain HTTP/2, which "
        "anybody between can read.",
    )  # fmt: skip
    grpc_tls_key: str = Field("", description="PEM file of its private key, without a pass phrase.")
    grpc_client_ca: str = Field(
        "", description="PEM file of the CA of clients' certificates (mTLS): whoever has none of it gets no "
        "connection. Files are read at start.",
    )  # fmt: skip
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Below this level nothing is logged."
    )
    database_dsn: SecretStr = Field(
        SecretStr(""), description="PostgreSQL or TimescaleDB, for services that keep history; empty for none."
    )
    startup_timeout_seconds: float = Field(
        30.0, gt=0, description="How long a service tries to reach its broker at start before it stops with an error."
    )
    batch_records: int = Field(
        5000,
        ge=1,
        le=100_000,
        description="The most records in one transaction. Larger is faster under load and costs memory.",
    )
    session_timeout_ms: int = Field(
        10_000,
        ge=6_000,
        description="After this long without a sign a dead replica's partitions go to others. A restarted one gets "
        "its own back at once. Kafka refuses less than 6000 by default.",
    )
    max_buffered_records: int = Field(
        50_000,
        ge=1000,
        description="Records held in memory while partitions are merged by time. Beyond it the oldest are processed "
        "without waiting for slower partitions.",
    )


def read_settings(kind: type[S]) -> S:
    """Reads the environment into settings of that kind.

    Raises:
        SettingsInvalid: naming the variable, the value, what was wanted.
    """
    try:
        return kind()
    except ValidationError as error:
        raise SettingsInvalid(_sentence(kind, error)) from None
    except SettingsError as error:  # a list or a map that is no JSON; the text holds no value
        prefix = kind.model_config.get("env_prefix", "")
        raise SettingsInvalid(f"wrong setting {prefix}*: {error}: wanted JSON; see docs/settings.md") from None


def _sentence(kind: type[BaseSettings], error: ValidationError) -> str:
    prefix = str(kind.model_config.get("env_prefix", ""))
    parts = []
    for item in error.errors():
        name = prefix + "_".join(str(place) for place in item["loc"]).upper()
        parts.append(f"{name}={'***' if _is_secret(kind, item['loc']) else repr(item.get('input'))}: {item['msg']}")
    return "wrong setting " + "; ".join(parts) + "; see docs/settings.md"


def _is_secret(kind: type[BaseSettings], place: tuple[int | str, ...]) -> bool:
    field = kind.model_fields.get(str(place[0])) if place else None
    return field is None or "Secret" in str(field.annotation)
