"""Loops over rows as machine code."""

import importlib
import pkgutil
from typing import Any

import numpy as np

import services.anomaly.model
from services.anomaly.model.compiled import compiled
from services.anomaly.model.rehearsal import rehearse
from services.anomaly.settings import AnomalySettings


def all_compiled() -> dict[str, Any]:
    """Every compiled function of the service, by module and name."""
    modules = [f"services.anomaly.model.{each.name}" for each in pkgutil.iter_modules(services.anomaly.model.__path__)]
    return {
        f"{module}.{name}": value
        for module in modules
        for name, value in vars(importlib.import_module(module)).items()
        if hasattr(value, "nopython_signatures") and value.__module__ == module
    }


def test_after_the_rehearsal_nothing_is_left_to_compile() -> None:
    """So that no record waits for it."""
    rehearse(AnomalySettings())
    assert len(all_compiled()) > 20
    assert [name for name, function in all_compiled().items() if not function.nopython_signatures] == []


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same() -> None:
    """A function without a source file has no place beside it, as one in a container that may write nowhere."""
    names: dict[str, Any] = {}
    exec("def half(x):\n    for place in range(len(x)):\n        x[place] = x[place] / 0.0", names)
    values = np.array([1.0, -1.0])
    compiled(names["half"])(values)
    assert values.tolist() == [np.inf, -np.inf]
