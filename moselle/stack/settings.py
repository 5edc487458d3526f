"""What a stack is started with: remembered in the state folder, so that addresses stay between two runs."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from moselle.stack.folder import StateFolder
from moselle.stack.process import check_port_is_free, free_port, port_error

FILE = "stack.json"

#: The processes that `moselle up` starts, in this order: `<service>`, or `<service>-<role>` of a service with several.
EMBEDDED_SERVICES = (
    "ingest",
    "ingest-receiver",
    "logbert",
    "anomaly",
    "features",
    "features-history",
    "features-online",
    "predictor",
    "placement",
)
#: Needs a database.
HISTORY = "features-history"
#: Those of them that answer gRPC.
GRPC_SERVICES = ("placement", "features-online")
#: Takes metrics and logs over HTTP, on a port of its own.
RECEIVER = "ingest-receiver"


def service_arguments(name: str) -> list[str]:
    """What Python runs for a process: the service's module, and the role that it is told.

    >>> service_arguments("features-online")
    ['-m', 'services.features', 'online']
    """
    service, _, role = name.partition("-")
    return ["-m", f"services.{service}", *([role] if role else [])]


@dataclass(frozen=True, slots=True)
class StackSettings:
    """Addresses of one stack.

    Attributes:
        external_kafka, external_dsn: set when broker and database are somebody else's; then nothing is embedded.
        http_ports: of each service, on 127.0.0.1.
        grpc_ports: of those with a gRPC interface, on 127.0.0.1.
        receiver_port: where remote_write and OTLP over HTTP are taken, on 127.0.0.1.
    """

    kafka_port: int = 0
    controller_port: int = 0
    postgres_port: int = 0
    postgres_password: str = ""
    external_kafka: str = ""
    external_dsn: str = ""
    http_ports: dict[str, int] = field(default_factory=dict)
    grpc_ports: dict[str, int] = field(default_factory=dict)
    receiver_port: int = 0

    @property
    def is_external(self) -> bool:
        return bool(self.external_kafka)


def load_settings(folder: StateFolder) -> StackSettings:
    """What was saved last; all empty the first time."""
    known = StackSettings.__dataclass_fields__
    return StackSettings(**{name: value for name, value in folder.read(FILE).items() if name in known})


def save_settings(folder: StateFolder, settings: StackSettings) -> None:
    folder.write(FILE, asdict(settings))


@dataclass(frozen=True, slots=True)
class StackRequest:
    """What one `moselle up` asks for; 0 and empty for whatever it was last time, or free ports."""

    services: Sequence[str] = EMBEDDED_SERVICES
    kafka_port: int = 0
    postgres_port: int = 0
    external_kafka: str = ""
    external_dsn: str = ""


def services_of(request: StackRequest) -> list[str]:
    """What is started: with somebody else's broker and no database, everything but the history writer."""
    has_database = bool(request.external_dsn) or not request.external_kafka
    return [name for name in request.services if has_database or name != HISTORY]


def choose_settings(last: StackSettings, request: StackRequest) -> StackSettings:
    """The addresses for a new start: those asked for, else the last ones, else free ones.

    Raises:
        SettingsInvalid: a port that was asked for is taken. A remembered one that is taken is replaced.
    """
    if not request.external_kafka:
        for port, what, option in (
            (request.kafka_port, "Kafka", "--kafka-port"),
            (request.postgres_port, "PostgreSQL", "--postgres-port"),
        ):
            if port:
                check_port_is_free(port, what, option)
    names = services_of(request)
    ports = {name: usable(last.http_ports.get(name, 0)) for name in names}
    grpc_ports = {name: usable(last.grpc_ports.get(name, 0)) for name in names if name in GRPC_SERVICES}
    return replace(
        last,
        kafka_port=request.kafka_port or usable(last.kafka_port),
        controller_port=usable(last.controller_port),
        postgres_port=request.postgres_port or usable(last.postgres_port),
        postgres_password=last.postgres_password or secrets.token_hex(16),
        external_kafka=request.external_kafka,
        external_dsn=request.external_dsn,
        http_ports={**last.http_ports, **ports},
        grpc_ports={**last.grpc_ports, **grpc_ports},
        receiver_port=usable(last.receiver_port) if RECEIVER in names else last.receiver_port,
    )


def usable(port: int) -> int:
    """The same port when it is free, else another one."""
    return port if port and port_error(port) is None else free_port()
