"""What a deployment runs once, before the services: the topics of a Kafka and the tables of a database."""

from collections.abc import Sequence
from dataclasses import replace

import click

from services.common.errors import SettingsInvalid
from services.common.topics import CLUSTER_PARTITIONS, LOGS_RAW, Topic, all_topics, dead_letter_topic


@click.group()
def topics() -> None:
    """Make the topics of a Kafka that is not the embedded one."""


@topics.command("create")
@click.option("--kafka", envvar="MOSELLE_KAFKA_BOOTSTRAP", required=True, metavar="HOST:PORT", help="Where Kafka is.")
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    default=CLUSTER_PARTITIONS,
    show_default=True,
    help="Of all topics keyed by entity: as many replicas of a service can share its work. Cannot change later.",
)
@click.option("--replication-factor", type=click.IntRange(min=1), help="Copies of each. [default: the broker's]")
@click.option(
    "--raw",
    multiple=True,
    metavar="TOPIC",
    help="A topic of your shippers that ingest shall read as well; it gets its dead-letter topic. May be repeated.",
)
def create(kafka: str, partitions: int, replication_factor: int | None, raw: tuple[str, ...]) -> None:
    """Create the topics that are missing, each with its settings; leave the others alone. Safe to repeat."""
    from moselle.stack.topics import create_topics

    wanted = [*all_topics(), *raw_topics(raw)]
    created = create_topics(kafka, wanted, partitions, replication_factor or -1)
    for name in created:
        click.echo(name)
    click.echo(f"{len(created)} topics created, {len(wanted) - len(created)} were there", err=True)
    check_partitions(wanted, partitions, partition_counts(kafka))


def raw_topics(names: Sequence[str]) -> list[Topic]:
    """Topics like logs.raw under other names, with their dead-letter topics."""
    made = [replace(LOGS_RAW, name=name) for name in names if name not in {topic.name for topic in all_topics()}]
    return [*made, *map(dead_letter_topic, made)]


def partition_counts(kafka: str) -> dict[str, int]:
    """How many partitions each topic has, by its name."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        there = AdminClient({"bootstrap.servers": kafka, "log_level": 0}).list_topics(timeout=30).topics
    except KafkaException as error:
        raise SettingsInvalid(f"Kafka at {kafka} does not say what topics it has: {error.args[0].str()}") from None
    return {name: len(about.partitions) for name, about in there.items()}


def check_partitions(topics: Sequence[Topic], wanted: int, there: dict[str, int]) -> None:
    """Raises SettingsInvalid when a topic keyed by entity has another number: its readers would never see all.

    Raw topics and their dead letters are the shippers': those may have any number.
    """
    wrong = [
        f"{topic.name} has {there[topic.name]} instead of {topic.num_partitions(wanted)}"
        for topic in topics
        if topic.schema is not None and there.get(topic.name, 0) != topic.num_partitions(wanted)
    ]
    if wrong:
        raise SettingsInvalid(
            f"topics that were there have another number of partitions: {', '.join(wrong[:3])}"
            f"{' and more' if len(wrong) > 3 else ''}; give the number that they have with --partitions, "
            "or delete those topics and run this again"
        )


@click.command()
@click.option(
    "--dsn",
    envvar="MOSELLE_DATABASE_DSN",
    required=True,
    help="PostgreSQL or TimescaleDB. Give it by MOSELLE_DATABASE_DSN when it holds a password.",
)
def migrate(dsn: str) -> None:
    """Bring the tables of a history database up to date: all that is missing, or nothing. Safe to repeat."""
    from services.features.adapters.database import migrate as run

    done = run(dsn)
    for name in done:
        click.echo(name)
    click.echo(f"{len(done)} migrations ran" if done else "the tables are up to date", err=True)
