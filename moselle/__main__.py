"""`moselle`: what a person types. Each command imports what it needs when it is called, so that `--help` is quick."""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from moselle.lazy import EVALUATE, SIMULATE, TOP_LEVEL, TRAIN, LazyGroup
from services.common.errors import MoselleError

if TYPE_CHECKING:
    from moselle.stack.control import Json

STATE_HELP = "The state folder of the embedded stack: data, logs, addresses. [default: .moselle]"
state_option = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".moselle"),
    envvar="MOSELLE_STATE",
    help=STATE_HELP,
)


@click.group(
    cls=LazyGroup,
    commands_elsewhere=TOP_LEVEL,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(version("moselle"), prog_name="moselle")
def cli() -> None:
    """Moselle reads logs and metrics of a cloud from Kafka and raises alerts with their reasons.

    \b
    Begin with:
      moselle up --detach                    start Kafka, PostgreSQL and the services
      moselle replay FOLDER                  send recorded logs and metrics through them
      moselle tail alerts.v1 --json --from-beginning
      moselle down                           stop everything; the data stays
    """


@cli.command()
def setup() -> None:
    """Get ready what pip does not bring: find or install Java, fetch Kafka. `make setup` calls it."""
    from moselle.stack.install import setup as run

    run(say)


@cli.command()
@state_option
@click.option("--detach", is_flag=True, help="Return when every service is ready; else stay until Ctrl-C.")
@click.option("--external", is_flag=True, help="Start no Kafka and no PostgreSQL: use those of --kafka and --dsn.")
@click.option("--kafka", metavar="HOST:PORT", help="Your Kafka, with --external.")
@click.option("--dsn", envvar="MOSELLE_DATABASE_DSN", help="Your PostgreSQL or TimescaleDB, with --external.")
@click.option("--kafka-port", type=click.IntRange(1, 65535), help="Port of the embedded Kafka. [default: a free one]")
@click.option("--postgres-port", type=click.IntRange(1, 65535), help="The same for PostgreSQL.")
def up(
    state: Path,
    detach: bool,
    external: bool,
    kafka: str | None,
    dsn: str | None,
    kafka_port: int | None,
    postgres_port: int | None,
) -> None:
    """Start everything, or go on where the last run of this state folder stopped."""
    from moselle.stack import control

    if external != (kafka is not None):
        raise click.UsageError("--external and --kafka HOST:PORT belong together: give both or none")
    was_running = state.exists() and control.runs(state)
    status = control.up(
        state,
        kafka_port=kafka_port or 0,
        postgres_port=postgres_port or 0,
        external_kafka=kafka or "",
        external_dsn=(dsn or "") if external else "",
        is_tied_to_us=not detach,
        report=lambda phase: say(f"  {phase}"),
    )
    say("already running" if was_running else "ready")
    show_status(status)
    if not detach and not was_running:
        say("Ctrl-C stops it; the data stays")
        control.stay(state)


@cli.command()
@state_option
def down(state: Path) -> None:
    """Stop everything that runs in a state folder. The data stays."""
    from moselle.stack import control

    say("stopped" if control.down(state) else f"nothing runs in {state}")


@cli.command()
@state_option
@click.option("--json", "is_json", is_flag=True, help="One JSON object, for scripts.")
def status(state: Path, is_json: bool) -> None:
    """Show addresses and whether each service is ready, and if not, why."""
    from moselle.stack import control

    found = control.status(state)
    if is_json:
        click.echo(json.dumps(found))
    else:
        show_status(found)


@cli.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@state_option
@click.option("--topic", default="logs.raw", show_default=True, help="Where log lines go. Scrapes go to metrics.raw.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="text: each line as Fluent Bit would send it; json: the files hold one JSON record a line, sent as it is.",
)
@click.option(
    "--speed", default="max", show_default=True, help="Event seconds per second: 1 is as it happened; or max."
)
@click.option("--shift-to-now", is_flag=True, help="Move all times, those in the lines too, so that the last is now.")
@click.option("--host", help="The host the files are from. [default: what the folder says, else localhost]")
def replay(
    paths: tuple[Path, ...], state: Path, topic: str, form: Any, speed: str, shift_to_now: bool, host: str | None
) -> None:
    """Send recorded logs and metrics to Kafka in the order in which they happened.

    PATH is a log file or a folder with some; .gz and .xz are read as they are. Of a folder it takes the logs and
    metrics.jsonl, and says what it leaves out. It returns when Kafka has everything.
    """
    from moselle.replay.run import replay as run

    pace = parse_speed(speed)
    published = run(
        paths, bootstrap_of(state), topic=topic, form=form, speed=pace, is_shifted_to_now=shift_to_now, host=host
    )
    click.echo(json.dumps({"published": published}))


def parse_speed(speed: str) -> float | None:
    """None for `max`."""
    if speed == "max":
        return None
    try:
        pace = float(speed)
    except ValueError:
        pace = 0.0
    if not 0 < pace < float("inf"):
        raise click.BadParameter(f"{speed!r} is neither a number above 0 nor max", param_hint="--speed")
    return pace


@cli.command()
@click.argument("topic")
@state_option
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line, for scripts.")
@click.option("--from-beginning", is_flag=True, help="Everything the topic holds; else only what comes from now on.")
@click.option("--until-idle", type=click.FloatRange(min=0, min_open=True), help="End after so many seconds of silence.")
def tail(topic: str, state: Path, is_json: bool, from_beginning: bool, until_idle: float | None) -> None:
    """Show the records of a TOPIC as they come: committed ones only, decoded."""
    from moselle.reading import TopicReader, as_json
    from services.common.codec import Codec

    codec = Codec()
    bootstrap = bootstrap_of(state)
    reader = TopicReader(bootstrap, topic, from_beginning)
    with learning_schemas(bootstrap, codec):
        for batch in reader.records(until_idle):
            for record in batch:
                shown = as_json(record, codec)
                text = dump(shown["value"]) if not is_json else ""
                click.echo(dump(shown) if is_json else f"{shown['timestamp']} {shown['key']} {text}")
            if batch:
                sys.stdout.flush()
    reader.close()


def learning_schemas(bootstrap: str, codec: Any) -> Any:
    """While this is open, `codec` finds schemas of other versions in schemas.v1."""
    from contextlib import closing

    from services.common.broker.kafka import KafkaBroker
    from services.common.schemas import SchemaRegistry

    return closing(SchemaRegistry(KafkaBroker(bootstrap), codec))


@cli.group()
def dlq() -> None:
    """Look at dead letters: what could not be read, and why; and send them back."""


@dlq.command("list")
@state_option
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line, for scripts.")
def dlq_list(state: Path, is_json: bool) -> None:
    """Count dead letters by topic and reason."""
    from moselle.dlq import count_dead_letters

    rows = count_dead_letters(bootstrap_of(state))
    for row in rows:
        line = f"{row['count']:>8}  {row['topic']:<24} {row['error']:<28} {row['first']} .. {row['last']}"
        click.echo(dump(row) if is_json else line)
    if not rows:
        say("no dead letters")


@dlq.command("show")
@click.argument("topic")
@state_option
@click.option("--error", help="Only those with this reason.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
def dlq_show(topic: str, state: Path, error: str | None, limit: int) -> None:
    """Show dead letters of a TOPIC (logs.raw or logs.raw.dlq), one JSON object a line."""
    from itertools import islice

    from moselle.dlq import read_dead_letters

    for letter in islice(read_dead_letters(bootstrap_of(state), topic, error), limit):
        click.echo(dump(letter.as_json()))


@dlq.command("replay")
@click.argument("topic")
@state_option
@click.option("--error", help="Only those with this reason.")
@click.option("--again", is_flag=True, help="Also those that were sent back before.")
def dlq_replay(topic: str, state: Path, error: str | None, again: bool) -> None:
    """Send dead letters of a TOPIC back to where they came from: original key and bytes, each only once."""
    from moselle import dlq as letters

    bootstrap = bootstrap_of(state)
    found = letters.read_dead_letters(bootstrap, topic, error)
    done = letters.replay_dead_letters(bootstrap, found, state / letters.REPLAYED_FILE, again)
    click.echo(json.dumps({"replayed": done.num_sent, "replayed_before": done.num_before, "cut": done.num_cut}))


@cli.group(cls=LazyGroup, commands_elsewhere=TRAIN)
def train() -> None:
    """Make a model's artifact. Needs torch: .venv-train (`make setup-train`)."""


@cli.group(cls=LazyGroup, commands_elsewhere=EVALUATE)
def evaluate() -> None:
    """Measure a part of Moselle on labelled data; the last line is one JSON object."""


@cli.group(cls=LazyGroup, commands_elsewhere=SIMULATE)
def simulate() -> None:
    """Try a part of Moselle in a made-up world, beside simple ways; the last line is one JSON object."""


@cli.command()
@click.option("--keep", is_flag=True, help="Leave the system running at the end, and say how to go on.")
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Event seconds per second.")
@click.option(
    "--data", type=click.Path(exists=True, path_type=Path), help="Another recorded folder than the one shipped."
)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where demo-report.html and demo-report.json go. [default: here]",
)
@click.option("--plain", is_flag=True, help="Plain lines instead of the live screen.")
def demo(keep: bool, speed: float | None, data: Path | None, output_dir: Path, plain: bool) -> None:
    """Show the whole system at work on a recorded OpenStack with injected faults."""
    from moselle.demo.run import main as run

    sys.exit(run(keep=keep, speed=speed, data=data, output_dir=output_dir, plain=plain))


def bootstrap_of(state: Path) -> str:
    """The Kafka of a running stack. Raises SettingsInvalid when none runs."""
    from moselle.stack import control

    return str(control.status(state)["kafka"]["bootstrap"])


def show_status(status: "Json") -> None:
    """Addresses and services for people."""
    click.echo(f"{'kafka':<16} {status['kafka']['bootstrap']}")
    click.echo(f"{'postgres':<16} {status['postgres']['dsn'] or 'none'}")
    for service in status["services"]:
        state = "ready" if service["ready"] else f"not ready: {service['reason']}"
        grpc = f"  grpc {service['grpc']}" if service["grpc"] else ""
        click.echo(f"{service['name']:<16} http://{service['http']}{grpc}  {state}")


def dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def say(words: str) -> None:
    click.echo(words, err=True)


def main() -> None:
    """Exit codes: 0 done, 1 failed with one sentence on standard error, 2 wrong usage."""
    try:
        cli.main(prog_name="moselle", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except MoselleError as error:
        say(f"moselle: {error}")
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        say("moselle: interrupted")
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output is gone, as in `moselle tail .. | head`.
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
