"""`moselle place`: asks the running placement service where a workload should run, and shows why."""

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from moselle.inventory import amount, state_option
from services.common.errors import Retryable, SettingsInvalid

if TYPE_CHECKING:
    import grpc

    from services.common.gen.moselle.placement.v1 import placement_pb2

PROFILES = ("balanced", "performance", "efficiency", "consolidation", "power", "cost")
TIMEOUT_SECONDS = 10.0
#: Whatever proxy the environment names, placement is asked directly.
DIRECTLY = (("grpc.enable_http_proxy", 0),)
_SHOWN_REASONS = 5
PEM = click.Path(exists=True, dir_okay=False, path_type=Path)


def address_of(state: Path) -> str:
    """host:port of the placement service of a running stack.

    Raises:
        SettingsInvalid: no stack runs, or none with placement.
    """
    from moselle.stack import control

    for service in control.status(state)["services"]:
        if service["name"] == "placement" and service["grpc"]:
            return str(service["grpc"])
    raise SettingsInvalid(f"the stack in {state} runs no placement: see `moselle status`, or give --address HOST:PORT")


class Tls(NamedTuple):
    """PEM files: the CA of placement's certificate, and our own certificate and key where it asks for them."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


NO_TLS = Tls()


def _channel(address: str, tls: Tls) -> "grpc.Channel":
    import grpc

    if tls.ca is None:
        return grpc.insecure_channel(address, options=DIRECTLY)
    ca, cert, key = (None if path is None else path.read_bytes() for path in tls)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert), options=DIRECTLY)


def ask(address: str, request: "placement_pb2.PlaceRequest", tls: Tls = NO_TLS) -> "placement_pb2.Decision":
    """The decision.

    Args:
        tls: with a CA the connection is encrypted; without it it is not.

    Raises:
        SettingsInvalid: the request can never work, or placement cannot answer now; its own sentence.
        Retryable: it is not there, or too busy.
    """
    import grpc

    from services.common.gen.moselle.placement.v1 import placement_pb2_grpc

    with _channel(address, tls) as channel:
        try:
            return placement_pb2_grpc.PlacementStub(channel).Place(request, timeout=TIMEOUT_SECONDS).decision
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION):
        raise SettingsInvalid(f"{details} ({code.name})")
    raise Retryable(f"placement at {address} did not answer: {details} ({code.name})")


def shown(decision: "placement_pb2.Decision") -> dict[str, Any]:
    """A decision as JSON has it: the fields of placement.proto, mode without its prefix."""
    from google.protobuf.json_format import MessageToDict

    fields: dict[str, Any] = MessageToDict(
        decision, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    fields["mode"] = fields["mode"].removeprefix("MODE_").lower()
    return fields


def words(decision: "placement_pb2.Decision") -> str:
    """A decision for people."""
    fields = shown(decision)
    if not decision.node:
        rows = [
            f"  {row.constraint:<24} excludes {row.num_nodes} nodes, {row.num_nodes_only_this} of them alone"
            for row in decision.infeasible.exclusions
        ]
        return "\n".join(["no node can hold it", *rows, decision.infeasible.remedy])
    rows = [f"  {row.contribution:+.3f} {row.factor:<16} {row.text}" for row in decision.reasons[:_SHOWN_REASONS]]
    others = ", ".join(f"{other.node} {other.score:.3f}" for other in decision.alternatives) or "none"
    return "\n".join([f"{decision.node}  {decision.score:.3f}  ({fields['mode']})", *rows, f"alternatives: {others}"])


@click.command("place")
@state_option
@click.option("--address", metavar="HOST:PORT", help="The gRPC address, instead of the stack's.")
@click.option("--tls-ca", type=PEM, help="CA of placement's certificate; without it nothing is encrypted.")
@click.option("--tls-cert", type=PEM, help="Our certificate, where placement asks for one.")
@click.option("--tls-key", type=PEM, help="Its private key.")
@click.option("--cpu", default="0", help="Processor cores, e.g. 2 or 0.5.")
@click.option("--memory", default="0", help="Memory, e.g. 4GiB.")
@click.option("--disk", default="0", help="Local disk, e.g. 40GiB.")
@click.option("--gpus", type=click.IntRange(min=0), default=0, help="Whole accelerators.")
@click.option("--name", default="", help="The workload's name. [default: the request id]")
@click.option("--owner", default="", help="What made it, the same for all its replicas.")
@click.option("--profile", type=click.Choice(PROFILES), default="balanced", show_default=True, help="What to favour.")
@click.option("--exclude", multiple=True, metavar="ENTITY_ID", help="Never this node; may be given several times.")
@click.option("--apart-from", default="", metavar="GROUP", help="No two workloads of this group on one node.")
@click.option("--request-id", default="", help="Repeating one repeats its decision. [default: a new one]")
@click.option("--shadow", is_flag=True, help="Only record the decision; reserve nothing.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object, for scripts.")
def command(
    state: Path,
    address: str | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    cpu: str,
    memory: str,
    disk: str,
    gpus: int,
    name: str,
    owner: str,
    profile: str,
    exclude: tuple[str, ...],
    apart_from: str,
    request_id: str,
    shadow: bool,
    is_json: bool,
) -> None:
    """Ask where a workload should run, and why there. The room stays reserved for a while unless --shadow."""
    from services.common.gen.moselle.placement.v1 import placement_pb2 as pb

    if (tls_cert is None) != (tls_key is None) or (tls_cert and not tls_ca):
        raise click.UsageError("--tls-cert and --tls-key go together, and with --tls-ca")
    request_id = request_id or str(uuid.uuid4())
    try:
        amounts = [amount(text) for text in (cpu, memory, disk)]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    workload = pb.Workload(
        workload_id=name or request_id,
        name=name,
        owner=owner,
        requests=pb.Resources(
            cpu_cores=amounts[0], memory_bytes=int(amounts[1]), disk_bytes=int(amounts[2]), num_gpus=gpus
        ),
        constraints=pb.Constraints(excluded_nodes=exclude, anti_affinity_group=apart_from),
    )
    number = pb.Profile.Value(f"PROFILE_{profile.upper()}")
    request = pb.PlaceRequest(request_id=request_id, workload=workload, profile=number, is_shadow=shadow)
    decision = ask(address or address_of(state), request, Tls(tls_ca, tls_cert, tls_key))
    click.echo(json.dumps(shown(decision)) if is_json else words(decision))
