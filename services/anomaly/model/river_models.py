"""Any of River's anomaly models, named as in `river.anomaly.LocalOutlierFactor?n_neighbors=5`."""

import functools
import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import river.anomaly
import river.base
import structlog

from services.anomaly.model.abstract import MetricDetector
from services.anomaly.model.each import Each
from services.anomaly.model.gaussian import GaussianEach
from services.anomaly.model.half_space_trees import EntityTrees
from services.anomaly.model.moment_banks import DeviationBank
from services.anomaly.model.river_adapters import PlaneDetector, RiverWhole, RollingGaussian
from services.common.errors import SettingsInvalid

# River's classes have types, some of its functions have none.
_anomaly: Any = river.anomaly

PREFIX = "river.anomaly."
#: For models that draw at random and are given no seed: the same samples get the same scores.
SEED = 1

log = structlog.get_logger()
Parameters = Mapping[str, int | float | bool | str]


def river_detector(text: str) -> MetricDetector:
    """A detector with nothing learnt, by the name of River's class and its parameters.

    `HalfSpaceTrees`, `GaussianScorer` without a window, `StandardAbsoluteDeviation` and `OneClassSVM` save what they
    learnt, each by declared fields. Any other runs, saves nothing and, said once in the log, restarts cold.

    Raises:
        SettingsInvalid: no such class or parameter, or one that does not work.
    """
    name, parameters = _parsed(text)
    wanted = _signature(text, name)
    for key, value in parameters.items():
        _check(text, key, value, wanted)
    if "seed" in wanted and "seed" not in parameters:
        parameters["seed"] = SEED
    _try(text, name, parameters)
    known = _known(name, parameters)
    if known is None:
        _say_cold(text)
    return known or _cold(name, parameters)


def _parsed(text: str) -> tuple[str, dict[str, int | float | bool | str]]:
    path, _, query = text.partition("?")
    name = path.removeprefix(PREFIX)
    if not path.startswith(PREFIX) or name not in _models():
        raise SettingsInvalid(
            f"Detector {text!r} is no model of River's; wanted {PREFIX} and one of {', '.join(_models())}: correct the "
            "name in the settings."
        )
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise SettingsInvalid(
            f"Detector {text!r} has parameters {query!r}; wanted name=value, joined by &: correct them in the settings."
        ) from error
    return name, {key: _value(value) for key, value in pairs}


@functools.cache
def _models() -> tuple[str, ...]:
    """Those that stand by themselves: no filters around another model."""
    kinds = (river.base.AnomalyDetector, river.base.SupervisedAnomalyDetector)
    classes = {name: getattr(_anomaly, name) for name in _anomaly.__all__}
    return tuple(
        name for name, each in classes.items() if issubclass(each, kinds) and not issubclass(each, river.base.Wrapper)
    )


def _value(text: str) -> int | float | bool | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _signature(text: str, name: str) -> Mapping[str, inspect.Parameter]:
    """Parameters that a setting can express: those with a plain value, or None, unless told."""
    wanted = inspect.signature(getattr(_anomaly, name)).parameters
    return {
        key: each for key, each in wanted.items() if each.default is None or isinstance(each.default, int | float | str)
    }


def _check(text: str, key: str, value: int | float | bool | str, wanted: Mapping[str, inspect.Parameter]) -> None:
    if key not in wanted:
        raise SettingsInvalid(
            f"Detector {text!r} has the parameter {key!r}; wanted some of {', '.join(wanted) or 'none'}: correct it in "
            "the settings."
        )
    default = wanted[key].default
    if not _is_like(value, default):
        raise SettingsInvalid(
            f"Detector {text!r} has {key}={value!r}; wanted a value like {default!r}, River's default: correct it in "
            "the settings."
        )


def _is_like(value: int | float | bool | str, default: Any) -> bool:
    """River's whole numbers are counts and sizes, of one or more; the others may be any finite number."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if default is None:
        return True
    if type(default) is int:
        return type(value) is int and value >= min(1, default)
    return type(value) in (int, float) if type(default) is float else type(value) is type(default)


def _try(text: str, name: str, parameters: Parameters) -> None:
    """River checks parameters when they are used, if at all; better now than with the first sample."""
    try:
        model = _model(name, parameters)
        for number in (0.1, 0.9, 0.2, 0.5):
            if _is_single(model):
                model.learn_one(None, number)
                model.score_one(None, number)
            else:
                model.learn_one({"x": number, "y": number})
                model.score_one({"x": number, "y": number})
    except Exception as error:  # whatever its code raises for such parameters: that is the answer
        raise SettingsInvalid(
            f"Detector {text!r} does not work ({type(error).__name__}: {error}); wanted parameters that River's class "
            "takes and a model that needs no other: correct them in the settings."
        ) from error


def _model(name: str, parameters: Parameters) -> Any:
    return getattr(_anomaly, name)(**parameters)


def _is_single(model: Any) -> bool:
    """Whether it judges one value instead of all features."""
    return isinstance(model, river.base.SupervisedAnomalyDetector)


def _known(name: str, parameters: Parameters) -> MetricDetector | None:
    """The detector that saves what this model learns; None where there is none."""
    held: dict[str, Any] = dict(parameters)
    if name == "HalfSpaceTrees" and "limits" not in held:
        ours = {"n_trees": "num_trees", "window_size": "window"}
        return EntityTrees(**{ours.get(key, key): value for key, value in {"window_size": 250, **held}.items()})
    if name == "GaussianScorer" and "window_size" not in held:
        return GaussianEach(min_samples=held.get("grace_period", 100))
    if name == "StandardAbsoluteDeviation" and not held:
        return Each(DeviationBank())
    if name == "OneClassSVM":
        return PlaneDetector(_said(name), _maker(name, parameters))
    return None


def _cold(name: str, parameters: Parameters) -> MetricDetector:
    make = _maker(name, parameters)
    return RollingGaussian(_said(name), make) if name == "GaussianScorer" else RiverWhole(_said(name), make)


def _maker(name: str, parameters: Parameters) -> Callable[[], Any]:
    return functools.partial(_model, name, dict(parameters))


def _said(name: str) -> str:
    """`river_local_outlier_factor` for LocalOutlierFactor."""
    return "river_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


@functools.cache
def _say_cold(text: str) -> None:
    log.warning(
        "detector_restarts_cold", detector=text,
        meaning="its state has no declared encoding: after a restart or rebalance it learns anew",
    )  # fmt: skip
