"""Loops over rows as machine code, made by numba when they are first called and kept in a cache."""

import tempfile
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.core import config

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function as machine code, with numpy's arithmetic: numbers are divided by zero without an error.

    The code is kept beside the source, or below HOME where that may not be written, or as NUMBA_CACHE_DIR says; where
    none of them may be written it is made anew in each process. A function must call no other compiled one and use no
    constant of another file: numba looks at one file to see whether what it kept is still right.
    """
    return cast(Function, _with_cache(function))


def _with_cache(function: Callable[..., Any]) -> Any:
    try:
        return numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # numba found no folder that it may write
        config.CACHE_DIR = tempfile.mkdtemp(prefix="moselle-compiled-")
        return numba.njit(cache=True, error_model="numpy")(function)
