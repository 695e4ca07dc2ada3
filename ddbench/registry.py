"""Finds plug-ins and the parts that they provide.

A broken plug-in is a line in a list and harms nobody else; two parts of one name are an error.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any

import pluggy

from ddbench import hookspecs
from ddbench.errors import DDBenchError, unknown

GROUP = "ddbench"
RESTRICT = "DDBENCH_PLUGINS"
"""Environment variable: comma-separated distributions whose plug-ins load; others are ignored."""

KINDS: Mapping[str, str] = {
    "matcher": "ddbench_matchers",
    "regularizer": "ddbench_regularizers",
    "evaluator": "ddbench_evaluators",
    "distiller": "ddbench_distillers",
    "labeller": "ddbench_labellers",
    "dataset": "ddbench_datasets",
    "architecture": "ddbench_architectures",
    "protocol": "ddbench_protocols",
    "recipe": "ddbench_recipes",
    "format": "ddbench_formats",
}
PART_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""Names are typed on command lines and, with `:`, `@`, `+` and `*`, put together there."""
SHOWN_AS: Mapping[str, str] = {"recipe": "method", "dataset": "data set"}


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point: where it comes from, what it gave, or why it could not be loaded."""

    name: str
    distribution: str
    module: str
    provides: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Registry:
    """All parts by kind and name. A value, not a global: functions that need it are given it."""

    parts: Mapping[str, Mapping[str, Any]]
    aliases: Mapping[str, str]
    plugins: tuple[Plugin, ...]
    manager: pluggy.PluginManager

    def names(self, kind: str) -> list[str]:
        return sorted(self.parts[kind])

    def resolve(self, kind: str, name: str) -> str:
        """The name under which a part is known, for a name or an alias."""
        return self.aliases.get(f"{kind}:{name}", name)

    def get(self, kind: str, name: str) -> Any:
        """A part by name or alias.

        A name such as `folder:PATH` or `timm:NAME` fills the field that the part of the name before
        the colon calls its `argument`.

        Raises:
            DDBenchError: nobody provides it.
        """
        import dataclasses

        name = self.resolve(kind, name)
        if name in self.parts[kind]:
            part = self.parts[kind][name]
            if getattr(part, "argument", None) and not getattr(part, part.argument):
                raise DDBenchError(
                    f"{SHOWN_AS.get(kind, kind)} '{name}' needs an argument",
                    hint=f"write {name}:{part.argument.upper()}",
                )
            return part
        head, colon, rest = name.partition(":")
        part = self.parts[kind].get(head)
        if colon and rest and part is not None and getattr(part, "argument", None):
            return dataclasses.replace(part, **{part.argument: rest})
        broken = [p for p in self.plugins if p.error and name in p.name]
        facts = [f"plug-in {p.name} ({p.distribution}) did not load: {p.error}" for p in broken]
        known = set(self.parts[kind]) | {
            alias.partition(":")[2] for alias in self.aliases if alias.startswith(f"{kind}:")
        }
        raise unknown(SHOWN_AS.get(kind, kind), name, known, *facts)


def load(points: Iterable[EntryPoint] | None = None) -> Registry:
    """A registry of every plug-in that is installed.

    Args:
        points: Entry points to load instead of the installed ones.

    Raises:
        DDBenchError: two plug-ins provide a part of one name.
    """
    manager = pluggy.PluginManager("ddbench")
    manager.add_hookspecs(hookspecs)
    parts: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    origin: dict[tuple[str, str], str] = {}
    aliases: dict[str, str] = {}
    plugins: list[Plugin] = []
    for point in sorted(_allowed(points), key=lambda p: (_distribution(p) != "ddbench", p.name)):
        plugin, provided, other_names = _load_one(manager, point)
        plugins.append(plugin)
        aliases.update(other_names)
        for (kind, name), part in provided.items():
            here = f"{plugin.distribution}:{plugin.module}"
            if (kind, name) in origin:
                raise DDBenchError(
                    f"two plug-ins provide {SHOWN_AS.get(kind, kind)} '{name}'",
                    f"{origin[kind, name]} and {here}",
                    hint="uninstall one of them, or rename the part in yours",
                )
            origin[kind, name] = here
            parts[kind][name] = part
    return Registry(parts=parts, aliases=aliases, plugins=tuple(plugins), manager=manager)


def _allowed(points: Iterable[EntryPoint] | None) -> list[EntryPoint]:
    found = list(entry_points(group=GROUP) if points is None else points)
    unique = {(_distribution(p), p.name, p.value): p for p in found}
    only = os.environ.get(RESTRICT)
    if only is None:
        return list(unique.values())
    wanted = {"ddbench", *(name.strip() for name in only.split(",") if name.strip())}
    return [p for p in unique.values() if _distribution(p) in wanted]


def _distribution(point: EntryPoint) -> str:
    return _name_of(point.dist) if point.dist is not None else "unknown"


@functools.cache
def _name_of(distribution: Distribution) -> str:
    """Parses the package's metadata, which all its entry points share."""
    return distribution.name


def _load_one(
    manager: pluggy.PluginManager, point: EntryPoint
) -> tuple[Plugin, dict[tuple[str, str], Any], dict[str, str]]:
    provided: dict[tuple[str, str], Any] = {}
    aliases: dict[str, str] = {}
    where = {"name": point.name, "distribution": _distribution(point), "module": point.value}
    try:
        module = point.load()
        _refuse_misspelt(module, point)
        manager.register(module, name=f"{where['distribution']}:{point.name}")
        caller = manager.subset_hook_caller
        others = [p for p in manager.get_plugins() if p is not module]
        for kind, hook in KINDS.items():
            for mapping in caller(hook, others)():
                for name, part in mapping.items():
                    provided[kind, name] = part
        for mapping in caller("ddbench_aliases", others)():
            aliases.update(mapping)
    except (Exception, SystemExit) as fault:  # a stranger's fault must not stop the others
        registered = manager.get_plugin(f"{where['distribution']}:{point.name}")
        if registered is not None:
            manager.unregister(registered)
        return Plugin(**where, error=_first_line(fault)), {}, {}
    names = tuple(f"{kind} {name}" for kind, name in provided)
    return Plugin(**where, provides=names), provided, aliases


def _refuse_misspelt(module: Any, point: EntryPoint) -> None:
    """pluggy ignores a hook that it does not know; a misspelt name should not pass in silence."""
    for name in vars(module):
        if name.startswith("ddbench_") and hasattr(vars(module)[name], "ddbench_impl"):
            if not hasattr(hookspecs, name):
                known = [hook for hook in vars(hookspecs) if hook.startswith("ddbench_")]
                raise unknown("hook", name, known, f"in {point.value}")


def _first_line(fault: BaseException) -> str:
    text = fault.problem if isinstance(fault, DDBenchError) else str(fault)
    return f"{type(fault).__name__}: {(text or 'no message').splitlines()[0]}"
