"""Runs the feature service: `python -m services.features [stream|history|online]`, one role a process.

`stream` (the default) is the Faust worker, `history` writes the database, `online` answers gRPC.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from services.common.service import run_role
from services.common.settings import CommonSettings
from services.features.settings import FeaturesSettings

Run = Callable[[CommonSettings, FeaturesSettings], int]


def run_stream(common: CommonSettings, settings: FeaturesSettings) -> int:
    """The Faust worker."""
    from services.features.adapters.stream import run
    from services.features.pipeline import create_app, pass_time

    return run(common, settings, create_app, pass_time)


def run_history(common: CommonSettings, settings: FeaturesSettings) -> int:
    """The history writer."""
    return exit_code("history", common, settings)


def run_online(common: CommonSettings, settings: FeaturesSettings) -> int:
    """The gRPC server of the newest features."""
    return exit_code("online", common, settings)


def exit_code(module: str, common: CommonSettings, settings: FeaturesSettings) -> int:
    """Runs `services.features.adapters.<module>`, which is imported only by the role that needs its libraries."""
    code = import_module(f"services.features.adapters.{module}").run(common, settings)
    assert isinstance(code, int)
    return code


ROLES: dict[str, Run] = {"stream": run_stream, "history": run_history, "online": run_online}


def main(arguments: Sequence[str]) -> int:
    """Runs the role until told to stop; returns the exit code."""
    return run_role("features", arguments, ROLES, FeaturesSettings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
