"""`moselle agreement`: how often a Kubernetes scheduler took the node that placement would have taken."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from moselle.inventory import bootstrap_of, cluster_name, entities, kafka_option, state_option
from services.common.errors import InvalidMessage

Json = dict[str, Any]
#: Decisions about pods, of all that placements.v1 holds.
_PODS = "pod:"


def newest(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of records in the order of their partitions, the last one of each decision about a pod."""
    found = {record["request_id"]: record for record in records if record["request_id"].startswith(_PODS)}
    return list(found.values())


def agreement(records: Iterable[Mapping[str, Any]]) -> dict[str, Json]:
    """Figures by mode.

    Returns:
        Of each mode: `decided`, `bound` (of those, where a node is known), `agreed` (bound where we would have sent
        it), `agreed_ratio` and `among_best_ratio` (bound there or on an alternative), both of what was bound and had a
        node; null where nothing was.
    """
    by_mode: dict[str, list[Mapping[str, Any]]] = {}
    for record in newest(records):
        by_mode.setdefault(str(record["mode"]), []).append(record)
    return {mode: _figures(rows) for mode, rows in sorted(by_mode.items())}


def _figures(rows: list[Mapping[str, Any]]) -> Json:
    bound = [row for row in rows if row["bound_node"] and row["node"]]
    agreed = sum(row["bound_node"] == row["node"] for row in bound)
    among = sum(row["bound_node"] in (row["node"], *(one["node"] for one in row["alternatives"])) for row in bound)
    return {
        "decided": len(rows),
        "bound": len(bound),
        "agreed": agreed,
        "agreed_ratio": agreed / len(bound) if bound else None,
        "among_best_ratio": among / len(bound) if bound else None,
    }


def read(bootstrap: str) -> list[Json]:
    """Our cluster's records of placements.v1; those that cannot be read are left out."""
    from services.common.topics import PLACEMENTS

    found = []
    with entities(bootstrap) as (broker, codec):
        for partition in range(broker.num_partitions(PLACEMENTS.name)):
            for record in broker.read_to_end(PLACEMENTS.name, partition):
                try:
                    fields = codec.decode(record.value) if record.value is not None else None
                except InvalidMessage:
                    continue
                if fields is not None and fields["cluster"] == cluster_name():
                    found.append(fields)
    return found


@click.command("agreement")
@state_option
@kafka_option
@click.option("--json", "is_json", is_flag=True, help="One JSON object, for scripts.")
def command(state: Path, kafka: str | None, is_json: bool) -> None:
    """Compare placement's decisions about pods with where the Kubernetes scheduler put them.

    In shadow the scheduler has not heard of the decisions; live it has. One in the number of nodes is chance.
    """
    figures = agreement(read(bootstrap_of(state, kafka)))
    if is_json:
        click.echo(json.dumps(figures))
        return
    for mode, row in figures.items():
        ratios = [f"{row[name]:.1%}" if row[name] is not None else "-" for name in ("agreed_ratio", "among_best_ratio")]
        click.echo(
            f"{mode:<9} {row['decided']:>7} decided  {row['bound']:>7} bound  {ratios[0]:>6} where we would  "
            f"{ratios[1]:>6} there or on an alternative"
        )
    if not figures:
        click.echo("no decision about a pod is recorded: see k8s/scheduler", err=True)
