"""Finds plug-ins and the parts that they provide.

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
from ddbench.store.keys import identified_classes

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

    @property
    def packages(self) -> frozenset[str]:
        """Top-level packages whose classes keys and records may name."""
        return frozenset({"ddbench", *(p.module.partition(".")[0] for p in self.plugins)})

    def names(self, kind: str) -> list[str]:
        return sorted(self.parts[kind])

    def resolve(self, kind: str, name: str) -> str:
        """The name under which a part is known, for a name or an alias."""
        return self.aliases.get(f"{kind}:{name}", name)

    def get(self, kind: str, name: str) -> Any:
        """A part by name or alias.

        A name such as `folder:PATH` or `timm:NAME` fills the field that the part of the name before
        the colon calls its `argument`. A protocol may also be named by the path of a TOML file.

        Raises:
            DDBenchError: nobody provides it, or it is no part of its kind.
        """
        if kind == "protocol" and name.endswith(".toml"):
            return functools.partial(read_protocol, Path(name))
        name = self.resolve(kind, name)
        if name in self.parts[kind]:
            part = self._formed(kind, name)
            if getattr(part, "argument", None) and not getattr(part, part.argument):
                raise DDBenchError(
                    f"{SHOWN_AS.get(kind, kind)} '{name}' needs an argument",
                    hint=f"write {name}:{part.argument.upper()}",
                )
            return part
        head, colon, rest = name.partition(":")
        part = self._formed(kind, head) if head in self.parts[kind] else None
        if colon and rest and part is not None and getattr(part, "argument", None):
            return replace(part, **{part.argument: rest})
        broken = [p for p in self.plugins if p.error and name in p.name]
        facts = [f"plug-in {p.name} ({p.distribution}) did not load: {p.error}" for p in broken]
        known = set(self.parts[kind]) | {
            alias.partition(":")[2] for alias in self.aliases if alias.startswith(f"{kind}:")
        }
        raise unknown(SHOWN_AS.get(kind, kind), name, known, *facts)

    def _formed(self, kind: str, name: str) -> Any:
        """A part by name. Found out when it is asked for: others of its plug-in may be good."""
        from ddbench.structure import form_fault, recipe_fault

        part = self.parts[kind][name]
        self._refuse(kind, name, form_fault(kind, part))
        if kind != "recipe":
            return part

        @functools.wraps(part)
        def recipe(*place: Any, **named: Any) -> Any:
            made = part(*place, **named)
            self._refuse(kind, name, recipe_fault(made))
            return made

        return recipe

    def _refuse(self, kind: str, name: str, fault: str) -> None:
        if fault:
            told = f"{SHOWN_AS.get(kind, kind)} '{name}' {fault}"
            for plugin in (p for p in self.plugins if f"{kind} {name}" in p.provides):
                raise DDBenchError(
                    told, f"plug-in {plugin.name} ({plugin.distribution})",
                    hint=f"`ddbench check {plugin.distribution}` says more",
                )  # fmt: skip
            raise DDBenchError(told)  # of a registry that was put together by hand


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What one entry point gave."""

    plugin: Plugin
    provided: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)


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
    aliases: dict[str, str] = {}
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
        for alias, name in _given(manager, module, "ddbench_aliases"):
            aliases[alias] = name
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
    """What a list has room for; pluggy says what is wrong in the last of its lines."""
    text = f"{fault.problem}; {fault.hint}" if isinstance(fault, DDBenchError) else str(fault)
    lines = [line.strip() for line in text.rstrip("; ").splitlines() if line.strip()]
    shown = lines if isinstance(fault, pluggy.PluginValidationError) else lines[:1]
    return f"{type(fault).__name__}: {'; '.join(shown) or 'no message'}"
