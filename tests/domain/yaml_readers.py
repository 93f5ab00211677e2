"""Parsers of YAML 1.1 (PyYAML) and 1.2 (ruamel.yaml), in Python and in C; when two values are the same."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import ruamel.yaml
import yaml

Reader = Callable[[str], Any]

READERS: dict[str, Reader] = {
    "pyyaml": lambda text: yaml.load(text, yaml.SafeLoader),
    "ruamel": lambda text: ruamel.yaml.YAML(typ="safe", pure=True).load(text),
}
if yaml.__with_libyaml__:
    READERS["pyyaml-c"] = lambda text: yaml.load(text, yaml.CSafeLoader)
if ruamel.yaml.__with_libyaml__:
    READERS["ruamel-c"] = lambda text: ruamel.yaml.YAML(typ="safe").load(text)

each_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


def same(left: Any, right: Any) -> bool:
    """Equal in value, type and order of members."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return [*left] == [*right] and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return bool(left == right)
