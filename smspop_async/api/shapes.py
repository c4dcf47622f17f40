"""What came out of JSON, seen as what it should be: an object, a list, a text, or something empty instead."""

from collections.abc import Mapping
from typing import Any, TypeGuard


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Tell whether `value` is a JSON object, which is decoded to a dict and nothing else."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Tell whether `value` is a JSON array."""
    return isinstance(value, list)


def object_in(value: object) -> Mapping[str, Any]:
    """Return `value` where it is an object, else an empty one: PHP writes an empty map as ``[]``."""
    return value if is_object(value) else {}


def list_in(value: object) -> list[Any]:
    """Return `value` where it is a list, or the values of PHP's map in place of one, else an empty list."""
    if is_object(value):
        return list(value.values())
    return value if is_list(value) else []


def text_in(value: object) -> str:
    """Return `value` where it is a text, else an empty one."""
    return value if isinstance(value, str) else ""
