"""Parts by kind and name: what every command looks up, given to it as a value."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pluggy

from ddbench.api.errors import DDBenchError, unknown
from ddbench.api.toml_files import read_protocol
from ddbench.registry.forms import form_fault, recipe_fault

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
            argument = getattr(part, "argument", "")  # recipes and protocols are functions
            if argument and not getattr(part, argument):
                raise DDBenchError(
                    f"{SHOWN_AS.get(kind, kind)} '{name}' needs an argument",
                    hint=f"write {name}:{argument.upper()}",
                )
            return part
        head, colon, rest = name.partition(":")
        part = self._formed(kind, head) if head in self.parts[kind] else None
        if colon and rest and part is not None and getattr(part, "argument", ""):
            return replace(part, **{part.argument: rest})
        broken = [p for p in self.plugins if p.error and name in p.name]
        facts = [f"plug-in {p.name} ({p.distribution}) did not load: {p.error}" for p in broken]
        known = set(self.parts[kind]) | {
            alias.partition(":")[2] for alias in self.aliases if alias.startswith(f"{kind}:")
        }
        raise unknown(SHOWN_AS.get(kind, kind), name, known, *facts)

    def _formed(self, kind: str, name: str) -> Any:
        """A part by name. Found out when it is asked for: others of its plug-in may be good."""
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
