"""What `moselle feedback` makes of an alert and of what a person says."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from moselle.feedback import Moment, command, find_alert, word_on_alert, word_on_missed
from services.common.codec import Codec
from services.common.errors import SettingsInvalid


def make_alert(alert_id: str = "3f2a9c04", **fields: Any) -> dict[str, Any]:
    """One record of alerts.v1, as far as feedback reads it."""
    labels = {"rules": "latency,errors", "shares": "latency=0.62;errors=0.38"}
    return {
        "alert_id": alert_id, "fingerprint": "f", "cluster": "c", "entity_id": "service:nova-api@c1", "rule": "latency",
        "detector": "metric.anomaly", "labels": labels, "starts_at": 5, "ends_at": None, **fields,
    }  # fmt: skip


def test_the_first_digits_name_an_alert() -> None:
    """The last record of the only alert that begins so."""
    rows = [make_alert("3f2a9c04"), make_alert("77777777"), make_alert("3f2a9c04", ends_at=9)]
    assert find_alert(rows, "3F2A9C")["ends_at"] == 9


@pytest.mark.parametrize("alert_id", ["3f2a", "000000", "3f2a9c0"])
def test_what_names_no_alert_or_several_is_refused(alert_id: str) -> None:
    """Too few digits, an unknown alert, digits that two have: each says what to give."""
    with pytest.raises(SettingsInvalid, match="give"):
        find_alert([make_alert("3f2a9c04"), make_alert("3f2a9c05")], alert_id)


def test_a_word_says_what_the_alert_was_about() -> None:
    """Signals and rules of the alert go with the word, and the record is one of feedback.v1."""
    word = word_on_alert(make_alert(), "not-an-anomaly", ())
    assert (word["verdict"], word["signals"], word["rules"]) == ("wrong", ["latency", "errors"], ["latency", "errors"])
    codec = Codec()
    assert codec.decode(codec.encode("feedback.v1", word | {"given_at": 7}))["signals"] == ["latency", "errors"]


def test_a_word_may_be_about_one_signal() -> None:
    """Of those that the alert is about; another one is refused."""
    assert word_on_alert(make_alert(), "was-one", ("errors",))["signals"] == ["errors"]
    with pytest.raises(SettingsInvalid, match="latency, errors"):
        word_on_alert(make_alert(), "was-one", ("disk_busy",))


def test_a_missed_trouble_has_an_entity_and_a_time() -> None:
    """Nobody alerted, so there is no alert to name."""
    word = word_on_missed("host:c1", 5, 9, (), "default")
    assert (word["verdict"], word["entity_id"], word["starts_at"], word["ends_at"]) == ("missed", "host:c1", 5, 9)


@pytest.mark.parametrize(
    "arguments",
    [
        ["was-one"],
        ["perhaps", "3f2a9c04"],
        ["was-one", "3f2a9c04", "--entity", "host:c1"],
        ["was-one", "3f2a9c04", "--since", "2026-11-21T05:51:40Z"],
        ["was-one", "--entity", "host:c1", "--since", "2026-11-21T05:51:40Z"],
        ["was-one", "--entity", "c1", "--since", "2026-11-21T05:51:40Z", "--until", "2026-11-21T06:51:40Z"],
        ["not-an-anomaly", "--entity", "host:c1", "--since", "2026-11-21T05:51:40Z", "--until", "2026-11-21T06:51:40Z"],
        ["was-one", "--entity", "host:c1", "--since", "2026-11-21T06:51:40Z", "--until", "2026-11-21T05:51:40Z"],
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(arguments: list[str]) -> None:
    """Exit code 2 before anything is connected to."""
    assert CliRunner().invoke(command, arguments).exit_code == 2


@pytest.mark.parametrize("text", ["yesterday", "2026-11-21T05:51:40"])
def test_a_time_needs_its_zone(text: str) -> None:
    """Else nobody knows which moment is meant."""
    with pytest.raises(click.BadParameter):
        Moment().convert(text, None, None)
