"""Commands that live elsewhere and are imported when they are called, so that `--help` and the others stay quick."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

#: Commands by name, as `module:attribute`. A module here imports torch, River or gRPC only within its functions.
TOP_LEVEL: dict[str, str] = {
    "inventory": "moselle.inventory:command",
    "place": "moselle.place:command",
    "agreement": "moselle.agreement:command",
    "features": "moselle.features:command",
    "feedback": "moselle.feedback:command",
    "sources": "moselle.sources:command",
    "topics": "moselle.cluster:topics",
    "migrate": "moselle.cluster:migrate",
    "anonymize": "moselle.anonymizing:command",
    "extract": "moselle.extracting:command",
}
#: `moselle train NAME`.
TRAIN: dict[str, str] = {
    "logbert": "moselle.training_logbert:train_logbert",
    "predictor": "moselle.training_predictor:train_predictor",
}
#: `moselle evaluate NAME`.
EVALUATE: dict[str, str] = {
    "predictor": "moselle.evaluating_predictor:evaluate_predictor",
    "anomaly": "moselle.evaluating_anomaly:evaluate_anomaly",
    "logbert": "moselle.evaluating_logbert:evaluate_logbert",
    "mining": "moselle.evaluating_mining:evaluate_mining",
}
#: `moselle simulate NAME`.
SIMULATE: dict[str, str] = {
    "placement": "moselle.simulating_placement:simulate_placement",
}


class LazyGroup(click.Group):
    """A group that also has the commands of a table.

    Args:
        commands_elsewhere: name to `module:attribute` of a click command.
    """

    def __init__(self, *args: Any, commands_elsewhere: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._elsewhere = dict(commands_elsewhere or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._elsewhere})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self._elsewhere.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command
