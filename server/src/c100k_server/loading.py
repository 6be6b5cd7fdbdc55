"""Finding the app that a command line names."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from c100k_server.app import App
from c100k_server.errors import AppLoadError


def load_app(name: str) -> App:
    """The app `MODULE:ATTRIBUTE`, whose module may be in the current directory. Raises `AppLoadError`."""
    app = _load(name)
    if not isinstance(app, App):
        raise AppLoadError(app=name, reason=f"it is a {type(app).__name__}, not a c100k_server.App")
    return app


def load_function(name: str) -> Callable[..., Any]:
    """The function `MODULE:ATTRIBUTE`. Raises `AppLoadError`."""
    function: object = _load(name)
    if not callable(function):
        raise AppLoadError(app=name, reason=f"it is a {type(function).__name__}, not a function")
    return function


def _load(name: str) -> Any:
    module_name, colon, attribute = name.partition(":")
    if not (colon and module_name and attribute):
        raise AppLoadError(app=name, reason="write it as MODULE:ATTRIBUTE")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except Exception as error:
        # Whatever a module raises when it is imported, the operator has to see which module it was.
        raise AppLoadError(app=name, reason=f"{type(error).__name__}: {error}") from error
