"""Loops over rows as machine code, made by numba when they are first called and kept in a cache."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function as machine code, with numpy's arithmetic: numbers are divided by zero without an error.

    The code is kept beside the source, or below HOME where that may not be written, or as NUMBA_CACHE_DIR says; where
    none of them may be written it is made anew in each process. A function calls no compiled one of another file and
    uses no constant of one: numba looks at one file to see whether what it kept is still right.
    """
    try:
        return cast(Function, numba.njit(cache=True, error_model="numpy")(function))
    except RuntimeError:  # no folder to keep it in
        return cast(Function, numba.njit(error_model="numpy")(function))
