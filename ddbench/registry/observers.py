"""Tells plug-ins what has happened; what one of them does wrong is a warning, no more."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pluggy

from ddbench.api.errors import DDBenchWarning

OBSERVERS = ("ddbench_stage_done", "ddbench_cell_done")
"""Hooks that return nothing."""


def tell(manager: pluggy.PluginManager, hook: str, **told: Any) -> None:
    """Calls a hook of every plug-in that has it.

    Args:
        manager: Knows the plug-ins.
        hook: One of `OBSERVERS`.
        told: Its arguments.
    """
    for plugin in _observing(manager, hook):
        fault = fault_of(manager, plugin, hook, **told)
        if fault:
            warnings.warn(
                f"{manager.get_name(plugin)}: {fault}; going on without it",
                DDBenchWarning,
                stacklevel=2,
            )


def fault_of(manager: pluggy.PluginManager, plugin: object, hook: str, **told: Any) -> str:
    """Calls one plug-in's observer and returns what it raises, in a line; "" if all is well."""
    others = [other for other in _observing(manager, hook) if other is not plugin]
    try:
        manager.subset_hook_caller(hook, others)(**told)
    except (Exception, SystemExit) as fault:  # a stranger's fault must not stop a grid
        first = (str(fault).splitlines() or ["no message"])[0]
        return f"{hook} raised {type(fault).__name__}: {first}"
    return ""


def _observing(manager: pluggy.PluginManager, hook: str) -> Iterator[object]:
    """Those that have the hook, in pluggy's order: the last one first."""
    for found in reversed(getattr(manager.hook, hook).get_hookimpls()):
        yield found.plugin
