"""Makes a method look like the plan that it carries out: docstring and signature."""

import inspect
from collections.abc import Callable
from typing import Any


def dress(method: Callable[..., Any], plan: Callable[..., Any], name: str, *more: str) -> None:
    """`more` are the parameters of the method that come before those of the plan."""
    first = [inspect.Parameter(each, inspect.Parameter.POSITIONAL_ONLY) for each in ("self", *more)]
    signature = inspect.signature(plan)
    method.__name__ = name
    method.__doc__ = plan.__doc__
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*first, *signature.parameters.values()], return_annotation=inspect.Signature.empty
    )
