"""The options that say with which key names become pseudonyms."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def key_options(file_help: str, *more: Decorator) -> Decorator:
    """The three of them, and more behind them; `file_help` says what the file's key is for."""
    options: tuple[Decorator, ...] = (
        click.option("--key-env", metavar="NAME", help="The environment variable that holds the key of pseudonyms."),
        click.option(
            "--key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="F", help=file_help
        ),
        click.option("--key-id", default="k1", show_default=True, help="What the key is called in each pseudonym."),
        *more,
    )

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add
