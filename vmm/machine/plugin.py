"""Devices from a user's own module, as ``--device MODULE:CLASS,OPTION=VALUE`` names them."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from inspect import Parameter, signature

from vmm.devices.peripheral import Peripheral
from vmm.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final, TypeVar

    from vmm.devices.device import Device

    _Device = TypeVar("_Device", bound=Device)

_TRUTH: Final = {"1": True, "on": True, "yes": True, "0": False, "off": False, "no": False}


def load_device(text: str) -> Peripheral:
    """Make the device that ``text`` names; the working directory's modules come last.

    Raises:
        UsageError: if there is no such module, class or option; one line says which.
    """
    path, *words = text.split(",")
    kind = load_class(path)
    options: dict[str, Any] = {}
    parameters = _options(kind)
    for word in words:
        name, equals, content = word.partition("=")
        if not equals or name not in parameters:
            known = ", ".join(f"{known}=" for known in parameters)
            raise UsageError(f"--device {text}: {word!r} is not one of {known}")
        options[name] = _convert(text, parameters[name], content)
    missing = [
        name for name, p in parameters.items() if p.default is p.empty and name not in options
    ]
    if missing:
        raise UsageError(f"--device {text}: it needs {missing[0]}=")
    try:
        device = kind(**options)
    except (ValueError, TypeError, OSError) as error:
        raise UsageError(f"--device {text}: {error}") from error
    except Exception as error:
        raise UsageError(f"--device {text}: {_describe(error)}") from error
    device.made_of = text
    return device


def load_class(path: str) -> type[Peripheral]:
    """Return the class that ``path`` names, as ``MODULE:CLASS``.

    Raises:
        UsageError: if there is none, or it is no `Peripheral`.
    """
    return import_class(path, Peripheral)


def import_class(path: str, base: type[_Device]) -> type[_Device]:
    """Return the class that ``path`` names, as ``MODULE:CLASS``.

    Raises:
        UsageError: if there is none, or it is not derived from ``base``.
    """
    module_name, _, name = path.partition(":")
    look_here()
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            here = os.getcwd()
            raise UsageError(
                f"--device {path}: there is no module {error.name!r} in {here}, nor among Python's"
            ) from None
        raise UsageError(f"--device {path}: {_describe(error)}") from None
    except (ImportError, ValueError) as error:
        raise UsageError(f"--device {path}: cannot import {module_name!r}: {error}") from None
    except Exception as error:
        # A newcomer's module breaks in any manner, and not in ours.
        raise UsageError(f"--device {path}: {_describe(error)}") from error
    kind = getattr(module, name, None)
    if not isinstance(kind, type):
        raise UsageError(f"--device {path}: module {module_name!r} has no class {name!r}")
    if not issubclass(kind, base):
        raise UsageError(f"--device {path}: {name} is not derived from vmm's class {base.__name__}")
    return kind


def _describe(error: Exception) -> str:
    """Say what was raised, and where."""
    text = f"{type(error).__name__}: {error}"
    place = error.__traceback__
    if place is None or isinstance(error, SyntaxError):
        return text  # which says where
    while place.tb_next is not None:
        place = place.tb_next
    file = os.path.basename(place.tb_frame.f_code.co_filename)
    return f"{text} ({file}, line {place.tb_lineno})"


def look_here() -> None:
    """Let modules in the working directory be found, after all others."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)


def _options(kind: type[Peripheral]) -> Mapping[str, Parameter]:
    return {
        name: parameter
        for name, parameter in signature(kind).parameters.items()
        if parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    }


def _convert(text: str, parameter: Parameter, content: str) -> object:
    """Return ``content`` in the type that the parameter's annotation names."""
    words = str(getattr(parameter.annotation, "__name__", parameter.annotation)).split(" | ")
    try:
        if "bool" in words:
            return _TRUTH[content.lower()]
        if "int" in words:
            return int(content, 0)
        if "float" in words:
            return float(content)
    except (KeyError, ValueError):
        kind = next(word for word in ("bool", "int", "float") if word in words)
        raise UsageError(
            f"--device {text}: {parameter.name}={content}: {content!r} is no {kind}"
        ) from None
    return content
