"""`moselle feedback`: a person's word on an alert, or on a trouble that nobody alerted."""

import getpass
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from moselle.inventory import bootstrap_of, cluster_name, kafka_option, state_option
from services.common.clock import SystemClock, to_micros
from services.common.errors import InvalidMessage, SettingsInvalid

if TYPE_CHECKING:
    from services.common.broker.kafka import KafkaBroker
    from services.common.codec import Codec

#: What a person says, and what feedback.v1 says for it.
VERDICTS = {"not-an-anomaly": "wrong", "was-one": "right"}
#: So many first digits name an alert when no other begins so.
LEAST_DIGITS = 6

Json = dict[str, Any]


@contextmanager
def connected(bootstrap: str) -> "Iterator[tuple[KafkaBroker, Codec]]":
    """A broker that has the topics, and a codec that reads other versions' records and whose own readers find."""
    from services.common.broker.kafka import KafkaBroker
    from services.common.codec import Codec
    from services.common.schemas import SchemaRegistry
    from services.common.topics import ALERTS, FEEDBACK, SCHEMAS

    with closing(KafkaBroker(bootstrap)) as broker:
        broker.check([ALERTS.name, FEEDBACK.name, SCHEMAS.name])
        codec = Codec()
        with closing(SchemaRegistry(broker, codec)) as registry:
            registry.publish_own()
            yield broker, codec


def find_alert(alerts: "list[Json]", alert_id: str) -> Json:
    """The last record of the alert that is named, or whose name begins so.

    Raises:
        SettingsInvalid: none does, or several do.
    """
    found = {row["alert_id"]: row for row in alerts if row["alert_id"].startswith(alert_id.lower())}
    if not found or len(alert_id) < LEAST_DIGITS:
        raise SettingsInvalid(
            f"alerts.v1 holds no alert {alert_id!r}: give its alert_id or the first {LEAST_DIGITS} digits or more; "
            "`moselle tail alerts.v1 --from-beginning --json` shows them"
        )
    if len(found) > 1:
        raise SettingsInvalid(f"{len(found)} alerts begin with {alert_id!r}: give more digits of alert_id")
    return next(iter(found.values()))


def read_alerts(broker: "KafkaBroker", codec: "Codec") -> list[Json]:
    """What alerts.v1 holds now, each partition oldest first; records that cannot be read are passed over."""
    from services.common.topics import ALERTS

    rows: list[Json] = []
    for partition in range(broker.num_partitions(ALERTS.name)):
        for record in broker.read_to_end(ALERTS.name, partition):
            try:
                rows.append(codec.decode(record.value))
            except InvalidMessage:
                continue
    return rows


def word_on_alert(alert: Json, verdict: str, signals: tuple[str, ...]) -> Json:
    """The fields of feedback.v1 that the alert knows.

    Raises:
        SettingsInvalid: a signal is named that had no part in the alert.
    """
    had = [part.rpartition("=")[0] for part in alert["labels"].get("shares", "").split(";") if part]
    strange = [name for name in signals if name not in had]
    if strange:
        raise SettingsInvalid(
            f"{strange[0]!r} had no part in alert {alert['alert_id']}; it is about {', '.join(had) or 'no signals'}"
        )
    return {
        "subject_id": alert["alert_id"], "fingerprint": alert["fingerprint"], "verdict": VERDICTS[verdict],
        "cluster": alert["cluster"], "entity_id": alert["entity_id"], "detector": alert["detector"],
        "rules": [rule for rule in alert["labels"].get("rules", alert["rule"]).split(",") if rule],
        "signals": list(signals) or had, "starts_at": alert["starts_at"], "ends_at": alert["ends_at"],
    }  # fmt: skip


def word_on_missed(entity_id: str, since: int, until: int, signals: tuple[str, ...], cluster: str) -> Json:
    """The fields of feedback.v1 for a trouble that nobody alerted; times in microseconds UTC."""
    return {
        "subject_id": f"missed:{entity_id}", "verdict": "missed", "cluster": cluster, "entity_id": entity_id,
        "signals": list(signals), "starts_at": since, "ends_at": until,
    }  # fmt: skip


def publish(broker: "KafkaBroker", codec: "Codec", word: Json) -> None:
    """Writes one record to feedback.v1; Kafka has it when this returns."""
    from services.common.broker.abstract import Output
    from services.common.topics import FEEDBACK

    broker.publish([Output(FEEDBACK.name, word["subject_id"].encode(), codec.encode(FEEDBACK.name, word))])


class Moment(click.ParamType):
    """RFC 3339 with its zone, as microseconds UTC."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-11-21T05:51:40Z", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no zone: end it with Z or +01:00", param, ctx)
        return to_micros(moment)


def user_name() -> str:
    """Who is logged in; empty where nobody can say."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


@click.command("feedback")
@click.argument("verdict", type=click.Choice(list(VERDICTS)))
@click.argument("alert_id", required=False, metavar="[ALERT_ID]")
@state_option
@kafka_option
@click.option("--entity", "entity_id", metavar="ENTITY_ID", help="Instead of an alert: what had a trouble nobody said.")
@click.option("--since", type=Moment(), help="With --entity: when it began, e.g. 2026-11-21T05:51:40Z.")
@click.option("--until", type=Moment(), help="With --entity: when it was over.")
@click.option("--signal", "signals", multiple=True, metavar="NAME", help="Only this signal; several times for several.")
@click.option("--by", default=user_name, help="Who says so. [default: the user who is logged in]")
@click.option("--note", default="", help="In words.")
def command(
    verdict: str, alert_id: str | None, state: Path, kafka: str | None, entity_id: str | None, since: int | None,
    until: int | None, signals: tuple[str, ...], by: str, note: str,
) -> None:  # fmt: skip
    """Say of an alert that it was not an anomaly, or was one; or that there was one that nobody alerted.

    \b
      moselle feedback not-an-anomaly 3f2a9c04
      moselle feedback was-one 3f2a9c04 --note "disk of compute-1"
      moselle feedback was-one --entity host:compute-1 --since 2026-11-21T05:51:40Z --until 2026-11-21T06:10:00Z

    It goes to feedback.v1 and is kept there for 90 days. The last line is the record as JSON.
    """
    _check(verdict, alert_id, entity_id, since, until)
    with connected(bootstrap_of(state, kafka)) as (broker, codec):
        if alert_id is not None:
            word = word_on_alert(find_alert(read_alerts(broker, codec), alert_id), verdict, signals)
        else:
            assert entity_id is not None
            assert since is not None
            assert until is not None
            word = word_on_missed(entity_id, since, until, signals, cluster_name())
        word |= {"given_at": to_micros(SystemClock().now()), "given_by": by, "comment": note}
        publish(broker, codec, word)
    click.echo(json.dumps(word))


def _check(verdict: str, alert_id: str | None, entity_id: str | None, since: int | None, until: int | None) -> None:
    """Raises click.UsageError for options that do not go together."""
    if (alert_id is None) == (entity_id is None):
        raise click.UsageError("give either ALERT_ID or --entity with --since and --until")
    if alert_id is not None:
        if since is not None or until is not None:
            raise click.UsageError("--since and --until belong to --entity: an alert has its times")
        return
    if verdict != "was-one":
        raise click.UsageError("--entity is for a trouble that nobody alerted: say was-one")
    if since is None or until is None or not since < until:
        raise click.UsageError("--entity needs --since and a later --until")
    if ":" not in str(entity_id):
        raise click.UsageError(f"{entity_id!r} is no entity such as host:compute-1 or service:nova-api@controller-1")
