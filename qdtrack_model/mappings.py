"""Frozen dataclasses out of plain mappings such as YAML holds, and back; what does not fit is refused by name."""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration that cannot be used; the text names the key, the value and what was expected."""


def parse_value(value: Any, kind: Any, where: str) -> Any:
    """``value`` as the annotated ``kind``; ConfigError naming ``where`` if it cannot be."""
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return from_mapping(kind, value, where)
    if origin in (Union, UnionType):
        if value is None and type(None) in arguments:
            return None
        return parse_value(value, _chosen([a for a in arguments if a is not type(None)], value, where), where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where}: got {value!r}, expected one of {', '.join(map(str, arguments))}")
        return value
    if origin is collections.abc.Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: got {value!r}, expected a mapping of names to values")
        return {str(key): parse_value(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    if origin is tuple:
        if not isinstance(value, list | tuple):
            if arguments[-1] is not Ellipsis:
                raise ConfigError(f"{where}: got {value!r}, expected a list")
            value = [value]  # a list may have any length, one too
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise ConfigError(f"{where}: got {len(value)} values, expected {len(kinds)}")
        return tuple(parse_value(v, k, f"{where}[{i}]") for i, (v, k) in enumerate(zip(value, kinds, strict=True)))
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:  # so whole numbers too large for a float are refused as well
            raise ConfigError(f"{where}: got {value!r}, expected a finite number")
        return float(value)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    example = " such as 0.5 or 1.0e-3" if kind is float else ""  # YAML takes 1e-3 for text
    raise ConfigError(f"{where}: got {value!r}, expected {kind.__name__}{example}")


def _chosen(kinds: Sequence[Any], value: Any, where: str) -> Any:
    """The one of several dataclasses whose field ``kind`` the mapping names; the first where it names none."""
    if len(kinds) == 1 or not isinstance(value, Mapping) or "kind" not in value:
        return kinds[0]
    by_name = {kind.kind: kind for kind in kinds}
    return by_name[parse_value(value["kind"], Literal[tuple(by_name)], f"{where}.kind")]


def from_mapping(kind: type[T], mapping: Any, where: str = "") -> T:
    """Build the dataclass ``kind`` from a mapping.

    A field that may hold one of several dataclasses takes the one that the key ``kind`` names, or the first.

    Raises:
        ConfigError: a key is unknown or missing, or a value is of the wrong type or out of range.
    """
    where = where or kind.__name__
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where}: got {mapping!r}, expected a mapping of keys to values")
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in mapping:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known keys: {', '.join(sorted(known))}"
            which = f" ({getattr(kind, 'kind', '')})" if "kind" in known else ""
            raise ConfigError(f"{where}{which}: unknown key {key!r}{hint}")
    hints = get_type_hints(kind)
    values = {key: parse_value(value, hints[key], f"{where}.{key}") for key, value in mapping.items()}
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from None
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None


def to_mapping(config: Any) -> dict[str, Any]:
    """The plain mapping (numbers, strings, lists) that :func:`from_mapping` reads back."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    return {key: plain(value) for key, value in dataclasses.asdict(config).items()}


def replaced(config: T, values: Mapping[str, Any], where: str = "") -> T:
    """``config`` with other ``values``, by the names of its fields; errors as of :func:`from_mapping`."""
    return from_mapping(type(config), {**to_mapping(config), **values}, where)


def changed(mapping: Mapping[Any, Any], values: Mapping[str, Any]) -> dict[Any, Any]:
    """``mapping`` with other ``values`` by dotted keys: ``a.b`` is the key ``b`` of what ``a`` holds."""
    result = dict(mapping)
    for key, value in values.items():
        first, dot, rest = key.partition(".")
        if not dot:
            result[first] = value
            continue
        inner = result.get(first) or {}
        if not isinstance(inner, Mapping):
            raise ConfigError(f"{key}: {first} is {inner!r}, which holds no key {rest!r}")
        result[first] = changed(inner, {rest: value})
    return result


def read_yaml(path: str | Path) -> Any:
    """The plain data in a YAML file (no Python objects are ever built from it).

    Raises:
        ConfigError: the file is missing or is not YAML.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2024-13-01
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {reason}") from None


def require(condition: bool, key: str, value: object, expected: str) -> None:
    """Raise ConfigError naming ``key`` and ``value`` unless ``condition`` holds."""
    if not condition:
        raise ConfigError(f"{key}: got {value!r}, expected {expected}")


def require_range(config: object, keys: tuple[str, ...], low: float, high: float) -> None:
    """Raise ConfigError unless low <= value <= high (and finite) for all keys."""
    expected = f"a number in [{low}, {high}]" if math.isfinite(high) else f"a number of at least {low}"
    for key in keys:
        value = getattr(config, key)
        require(low <= value <= high and math.isfinite(value), key, value, expected)
