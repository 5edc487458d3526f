"""Generated pages say what the code says, and nothing of the machine or of secrets."""

from pathlib import Path
from typing import Literal

import click
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from moselle.generators.avro import avro_type, python_type
from moselle.generators.pages import commands, help_text, metric_row, setting_rows, table, type_words


class SampleSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MOSELLE_SAMPLE_")

    window_seconds: int = Field(60, ge=1, le=90, description="Width.")
    password: SecretStr = Field(SecretStr("hunter2"), description="Of the database.")
    token: SecretStr | None = Field(SecretStr("hunter3"), description="Of the receiver.")
    state: Path = Field(Path.home() / "state", description="Folder.")
    host: str = Field(default_factory=lambda: "this-machine", description="Name.")
    needed: str = Field(description="No default.")


ROWS = {row[0]: row for row in setting_rows(SampleSettings)}


def test_a_setting_is_named_as_its_variable_with_bounds_and_help() -> None:
    """The row has what one types, what is allowed, and the consequence."""
    row = ROWS["`MOSELLE_SAMPLE_WINDOW_SECONDS`"]
    assert row == ("`MOSELLE_SAMPLE_WINDOW_SECONDS`", "int, at least 1, at most 90", "`60`", "Width.")


@pytest.mark.parametrize("name", ["PASSWORD", "TOKEN"])
def test_a_secret_is_stars(name: str) -> None:
    """A default that is secret is never written down."""
    assert ROWS[f"`MOSELLE_SAMPLE_{name}`"][2] == "`*****`"


def test_defaults_tell_nothing_of_the_machine() -> None:
    """Home is a tilde, a computed default is not shown, a missing one is said."""
    shown = {name: row[2] for name, row in ROWS.items()}
    assert shown["`MOSELLE_SAMPLE_STATE`"] == "`~/state`"
    assert shown["`MOSELLE_SAMPLE_HOST`"] == "depends on the machine"
    assert shown["`MOSELLE_SAMPLE_NEEDED`"] == "none: must be set"


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (Counter, ("`moselle_sample_lines_total`", "counter", "topic", "Lines read.")),
        (Histogram, ("`moselle_sample_lines`", "histogram", "topic", "Lines read.")),
    ],
)
def test_a_metric_has_its_full_name_type_and_labels(kind: type[MetricWrapperBase], row: tuple[str, ...]) -> None:
    """A counter is named as /metrics names it."""
    metric = kind("moselle_sample_lines", "Lines read.", ["topic"], registry=CollectorRegistry())
    assert metric_row(metric) == row


def test_a_table_escapes_bars_and_line_ends() -> None:
    """A cell stays one cell."""
    assert table(("a",), [("x|y\n z",)]) == "| a |\n| --- |\n| x\\|y z |\n"


def test_commands_are_listed_with_those_below_them() -> None:
    """Hidden ones are left out; the width does not depend on the terminal."""
    group = click.Group("top", commands={"b": click.Command("b", help="Does b."), "a": click.Command("a", hidden=True)})
    found = dict(commands(group, "moselle"))
    assert list(found) == ["moselle", "moselle b"]
    assert help_text(found["moselle b"], "moselle b").startswith("Usage: moselle b [OPTIONS]\n\n  Does b.")


@pytest.mark.parametrize(
    ("schema", "python", "words"),
    [
        ({"type": "long", "logicalType": "timestamp-micros"}, "int", "timestamp-micros"),
        (["null", "string"], "str | None", "null or string"),
        ({"type": "array", "items": {"type": "array", "items": "double"}}, "list[list[float]]", None),
        ({"type": "map", "values": "long"}, "dict[str, int]", "map of long"),
    ],
)
def test_avro_types_in_python_and_in_words(schema: object, python: str, words: str | None) -> None:
    """Times stay integers; null comes last in Python."""
    assert python_type(schema) == python
    assert words is None or avro_type(schema) == words


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (SecretStr | None, "secret, or empty"),
        (Literal["INFO", "DEBUG"], "one of INFO, DEBUG"),
        (tuple[str, ...], "list of str"),
        (dict[str, int], "map of str to int"),
        (Path, "path"),
    ],
)
def test_a_settings_type_is_words(annotation: object, words: str) -> None:
    """No Python module name stands in the settings page."""
    assert type_words(annotation) == words
