"""Finds plug-ins and loads them.

A broken plug-in is a line in a list and harms nobody else; two parts of one name are an error.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pluggy

from ddbench.api import hooks as hookspecs
from ddbench.api.errors import DDBenchError, DDBenchWarning, unknown
from ddbench.api.toml_files import read_protocol
from ddbench.registry.parts import KINDS, SHOWN_AS, Plugin, Registry
from ddbench.store.keys import identified_classes

GROUP = "ddbench"
RESTRICT = "DDBENCH_PLUGINS"
"""Environment variable: comma-separated distributions whose plug-ins load; others are ignored."""

MOVED: Mapping[str, str] = {
    f"ddbench.{old}": f"ddbench.api.{new}"
    for old, new in {
        "roles": "roles",
        "types": "types",
        "spec": "recipe",
        "errors": "errors",
        "features": "features",
        "reductions": "moments",
        "augment": "augment",
        "siamese": "dsa",
        "portable": "distilled_set",
        "stored_views": "labelled_views",
        "preparation": "distiller",
        "pretraining": "roles",
        "widening": "tensors",
        "hookspecs": "hooks",
    }.items()
}
"""Modules of the contract before ddbench.api, and where what they held is now."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The parts and aliases of one entry point."""

    plugin: Plugin
    provided: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    aliases: Mapping[Any, Any] = field(default_factory=dict)
    """As the plug-in gave them, not yet checked."""


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
    order = sorted(_allowed(points), key=lambda p: (_distribution(p) != "ddbench", p.name))
    found = [_load_one(manager, point) for point in order]
    names = {f"{kind}:{name}" for one in found for kind, name in one.provided}
    for one in found:
        one = _with_sound_aliases(manager, one, names, aliases)
        plugins.append(one.plugin)
        aliases.update(one.aliases)
        for (kind, name), part in one.provided.items():
            here = f"{one.plugin.distribution}:{one.plugin.module}"
            if (kind, name) in origin:
                raise DDBenchError(
                    f"two plug-ins provide {SHOWN_AS.get(kind, kind)} '{name}'",
                    f"{origin[kind, name]} and {here}",
                    hint="uninstall one of them, or rename the part in yours",
                )
            origin[kind, name] = here
            parts[kind][name] = part
    registry = Registry(parts=parts, aliases=aliases, plugins=tuple(plugins), manager=manager)
    _refuse_equal_identities(registry.packages)
    return registry


def _refuse_equal_identities(packages: frozenset[str]) -> None:
    """Checks that keys and records never mean two classes by one name."""
    for identity, kinds in identified_classes(packages).items():
        if len(kinds) > 1:
            raise DDBenchError(
                f"two classes have the identity '{identity}'",
                " and ".join(f"{kind.__module__}:{kind.__qualname__}" for kind in kinds),
                hint="an identity stays with the class that was released under it; "
                "leave the line out of the other one",
            )


def _with_sound_aliases(
    manager: pluggy.PluginManager, one: _Loaded, names: set[str], taken: Mapping[str, str]
) -> _Loaded:
    """The plug-in, or a broken one in its place: an alias may not change what a name means."""
    for alias, target in one.aliases.items():
        kind = alias.partition(":")[0] if isinstance(alias, str) else ""
        fault = ""
        if kind not in KINDS or not isinstance(target, str):
            fault = "expected KIND:NAME for a name"
        elif alias in names:
            fault = "is the name of a part"
        elif alias in taken:
            fault = f"is one of '{taken[alias]}' already"
        elif f"{kind}:{target}" not in names:
            fault = f"is one of '{target}', which nobody provides"
        if fault:
            _forget(manager, one.plugin)
            error = f"the alias {alias!r} {fault}"
            return _Loaded(replace(one.plugin, provides=(), error=error))
    return one


def _forget(manager: pluggy.PluginManager, plugin: Plugin) -> None:
    registered = manager.get_plugin(f"{plugin.distribution}:{plugin.name}")
    if registered is not None:
        manager.unregister(registered)


def _allowed(points: Iterable[EntryPoint] | None) -> list[EntryPoint]:
    found = list(entry_points(group=GROUP) if points is None else points)
    unique = {(_distribution(p), p.name, p.value): p for p in found}
    only = os.environ.get(RESTRICT)
    if only is None:
        return list(unique.values())
    wanted = {normal(name.strip()): name.strip() for name in only.split(",") if name.strip()}
    there = {normal(_distribution(point)) for point in unique.values()}
    for name in sorted(wanted.keys() - there):
        warnings.warn(
            f"{RESTRICT} names '{wanted[name]}', which has no plug-in", DDBenchWarning, stacklevel=3
        )
    return [p for p in unique.values() if normal(_distribution(p)) in {"ddbench", *wanted}]


def normal(distribution: str) -> str:
    """A distribution's name as packagers compare it: `DDBench_Mine` is `ddbench-mine`."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _distribution(point: EntryPoint) -> str:
    return _name_of(point.dist) if point.dist is not None else "unknown"


@functools.cache
def _name_of(distribution: Distribution) -> str:
    """Parses the package's metadata, which all its entry points share."""
    return distribution.name


def _load_one(manager: pluggy.PluginManager, point: EntryPoint) -> _Loaded:
    provided: dict[tuple[str, str], Any] = {}
    aliases: dict[Any, Any] = {}
    plugin = Plugin(name=point.name, distribution=_distribution(point), module=point.value)
    try:
        module = point.load()
        _refuse_misspelt(module, point)
        manager.register(module, name=f"{plugin.distribution}:{plugin.name}")
        for kind, hook in KINDS.items():
            for name, part in _given(manager, module, hook):
                if (kind, name) in provided:
                    raise DDBenchError(f"{hook} gives '{name}' twice")
                if kind == "protocol" and isinstance(part, Path):
                    part = functools.partial(read_protocol, part)
                provided[kind, _sound(name, hook)] = part
        aliases.update(_given(manager, module, "ddbench_aliases"))
    except (Exception, SystemExit) as fault:  # a stranger's fault must not stop the others
        _forget(manager, plugin)
        return _Loaded(replace(plugin, error=_in_a_line(fault)))
    names = tuple(f"{kind} {name}" for kind, name in provided)
    return _Loaded(replace(plugin, provides=names), provided, aliases)


def _given(manager: pluggy.PluginManager, module: Any, hook: str) -> Iterator[tuple[Any, Any]]:
    """Names, and what they stand for, of one plug-in."""
    others = [p for p in manager.get_plugins() if p is not module]
    for mapping in manager.subset_hook_caller(hook, others)():
        if not isinstance(mapping, Mapping):
            given = type(mapping).__name__
            raise DDBenchError(f"{hook} gives a {given}, expected a mapping from names")
        yield from mapping.items()


def _sound(name: Any, hook: str) -> str:
    """A name that can be typed where parts are put together; `ddbench check` is stricter."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
        raise DDBenchError(f"{hook} gives the name {name!r}, expected lower_snake_case")
    return name


def _refuse_misspelt(module: Any, point: EntryPoint) -> None:
    """pluggy ignores a hook that it does not know; a misspelt name should not pass in silence."""
    for name, found in vars(module).items():
        # Nothing but functions is looked into: torch would be loaded by that.
        marks = getattr(found, "ddbench_impl", None) if inspect.isroutine(found) else None
        if marks is not None and not hasattr(hookspecs, marks.get("specname") or name):
            known = [hook for hook in vars(hookspecs) if hook.startswith("ddbench_")]
            raise unknown("hook", marks.get("specname") or name, known, f"in {point.value}")


def _in_a_line(fault: BaseException) -> str:
    """Shortens a fault to one line: the last, where pluggy says what is wrong."""
    absent = (fault.name or "") if isinstance(fault, ModuleNotFoundError) else ""
    if absent in MOVED:
        more = (
            " (Distiller and Problem: 'ddbench.api.distiller')" if absent.endswith("roles") else ""
        )
        return f"'{absent}' is '{MOVED[absent]}' now{more}: change the import"
    text = f"{fault.problem}; {fault.hint}" if isinstance(fault, DDBenchError) else str(fault)
    if "Cannot overwrite attribute __setattr__" in text:
        return f"{text}: its role makes it a frozen dataclass; leave out @dataclass"
    lines = [line.strip() for line in text.rstrip("; ").splitlines() if line.strip()]
    shown = lines if isinstance(fault, pluggy.PluginValidationError) else lines[:1]
    return f"{type(fault).__name__}: {'; '.join(shown) or 'no message'}"
