"""The conformance suite: one part, or all parts of an installed package."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from ddbench.api.errors import DDBenchError, unknown
from ddbench.api.record import Record
from ddbench.api.toml_files import read_protocol
from ddbench.registry import (
    GROUP,
    KINDS,
    OBSERVERS,
    RESTRICT,
    ROLES,
    Plugin,
    Registry,
    fault_of,
    normal,
)
from ddbench.runtime.context import use_seed
from ddbench.testing.formats import check_format
from ddbench.testing.losses import check_matcher, check_regularizer, check_statistic, check_target
from ddbench.testing.runs import check_distiller, check_evaluator, check_labeller
from ddbench.testing.structure import check_name, check_structure, guarded
from ddbench.testing.worlds import (
    check_architecture,
    check_dataset,
    check_protocol,
    check_recipe,
)

RUNS: Mapping[str, Callable[[Any], Iterator[str]]] = {
    "matcher": check_matcher,
    "regularizer": check_regularizer,
    "evaluator": check_evaluator,
    "distiller": check_distiller,
    "labeller": check_labeller,
    "dataset": check_dataset,
    "architecture": check_architecture,
    "format": check_format,
    "statistic": check_statistic,
    "target": check_target,
}
NO_PARTS = (*OBSERVERS, "ddbench_aliases")
"""Hooks that a plug-in may have without providing a part."""


@dataclass(frozen=True, slots=True)
class PartReport:
    """Problems of one part, one line each."""

    kind: str
    name: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Problems of the parts of a package."""

    package: str
    parts: tuple[PartReport, ...]
    broken: tuple[str, ...] = ()
    """Plug-ins that could not be loaded or do nothing, and observers that raise."""

    @property
    def ok(self) -> bool:
        return not self.broken and not any(part.problems for part in self.parts)

    def __str__(self) -> str:
        lines = [f"broken  {line}" for line in self.broken]
        for part in self.parts:
            lines.append(f"{'ok    ' if not part.problems else 'FAILED'}  {part.kind} {part.name}")
            lines += [f"        {problem}" for problem in part.problems]
        failed = sum(bool(part.problems) for part in self.parts) + len(self.broken)
        said = f"{failed} to mend" if failed else "all conform"
        count = len(self.parts)
        lines.append(f"{self.package}: {count} part{'' if count == 1 else 's'}, {said}")
        return "\n".join(lines)


def check_part(kind: str, name: str, part: Any) -> list[str]:
    """Returns what is wrong with a part, one line each; nothing if it keeps its contract.

    A part must be a frozen dataclass with a stable cache key and the members of its role, and it
    is run on tiny stand-ins, on the CPU, in seconds: finite numbers, gradients, equal results for
    equal input, nothing changed that it was given. Parts that cannot run without data or without
    an argument are looked at, not run.

    Args:
        kind: `matcher`, `regularizer`, `evaluator`, `distiller`, `labeller`, `dataset`,
            `architecture`, `format`, `protocol`, `recipe`, `statistic` or `target`.
        name: As registered.
        part: What a hook returns under the name.

    Raises:
        DDBenchError: no such kind.
    """
    if kind not in KINDS and kind not in RUNS:
        raise unknown("kind of part", kind, {*KINDS, *RUNS})
    with use_seed(0):
        problems = [*check_name(kind, name), *_run_checks(kind, name, part)]
    return list(dict.fromkeys(problems))


def _run_checks(kind: str, name: str, part: Any) -> Iterator[str]:
    if kind == "protocol" and isinstance(part, Path):
        part = partial(read_protocol, part)
    if kind not in ROLES:
        if not callable(part):
            yield f"is {type(part).__name__}, expected a function"
        elif kind == "recipe":
            yield from guarded("the recipe", lambda: check_recipe(name, part, check_part))
        else:
            yield from guarded("the protocol", lambda: check_protocol(name, part))
        return
    structural = list(guarded("the part", lambda: check_structure(kind, part)))
    yield from structural
    if not any(problem.startswith(("is a class", "is no", "lacks")) for problem in structural):
        yield from guarded(f"the {kind}", lambda: RUNS[kind](part))


def check_plugin(distribution_or_module: str, registry: Registry) -> Report:
    """Runs the conformance suite over every part that a package provides.

    Args:
        distribution_or_module: `ddbench-energy`, or a module such as `ddbench_energy.matcher`.
        registry: Where the package's plug-ins are loaded.

    Raises:
        DDBenchError: no such package is installed, or it has no plug-in.
    """
    plugins = [p for p in registry.plugins if _belongs(p, distribution_or_module)]
    if not plugins:
        raise _no_plugin(distribution_or_module, registry)
    broken, parts = [], []
    for plugin in plugins:
        if plugin.error:
            broken.append(f"{plugin.name} ({plugin.module}): {plugin.error}")
        elif not plugin.provides and not _observes(plugin, registry):
            broken.append(f"{plugin.name} ({plugin.module}): provides nothing: no @hookimpl in it")
        else:
            broken += _faults_of_observers(plugin, registry)
        for provided in plugin.provides:
            kind, _, name = provided.partition(" ")
            problems = check_part(kind, name, registry.parts[kind][name])
            parts.append(PartReport(kind, name, tuple(problems)))
    return Report(distribution_or_module, tuple(parts), tuple(broken))


def _no_plugin(wanted: str, registry: Registry) -> DDBenchError:
    """Says why there is nothing to check: not installed, left out, or no plug-in at all."""
    known = {plugin.distribution for plugin in registry.plugins}
    try:
        name = distribution(wanted).name
    except (PackageNotFoundError, ValueError):
        return unknown("package", wanted, known, hint="install it first: pip install -e FOLDER")
    if RESTRICT in os.environ:
        fact = f"{RESTRICT}={os.environ[RESTRICT]} leaves out all others"
        hint = f"add {name} to {RESTRICT}, or unset it"
    else:
        fact = f"with plug-ins: {', '.join(sorted(known))}"
        hint = f'add an entry point in the group "{GROUP}" to its pyproject.toml, install it again'
    return DDBenchError(f"package '{name}' is installed, but no plug-in of it", fact, hint=hint)


def _belongs(plugin: Plugin, wanted: str) -> bool:
    if normal(plugin.distribution) == normal(wanted):
        return True
    return plugin.module == wanted or plugin.module.startswith(f"{wanted}.")


def _observes(plugin: Plugin, registry: Registry) -> bool:
    module = registry.manager.get_plugin(f"{plugin.distribution}:{plugin.name}")
    return any(hook in NO_PARTS for hook in _hooks_of(module, registry))


def _hooks_of(module: Any, registry: Registry) -> set[str]:
    """Names the hooks that a plug-in implements, whatever its functions are called."""
    return {caller.name for caller in registry.manager.get_hookcallers(module) or ()}


def _faults_of_observers(plugin: Plugin, registry: Registry) -> Iterator[str]:
    """Tells each observer once of a stage and of a cell that never were, and catches its faults."""
    module = registry.manager.get_plugin(f"{plugin.distribution}:{plugin.name}")
    cell = Record(
        key="0" * 20,
        status="ok",
        method="tiny",
        dataset="tiny@8",
        ipc=1,
        teacher="tiny",
        student="tiny",
        labels="hard",
        protocol="tiny",
        seed=0,
        metrics=[{"top1": 50.0}],
    )
    stage = {"stage": "recover", "key": "0" * 20, "seconds": 1.0, "peak_bytes": 1, "cached": False}
    examples: tuple[Mapping[str, Any], ...] = (stage, {"record": cell})
    for hook, arguments in zip(OBSERVERS, examples, strict=True):
        if hook in _hooks_of(module, registry):
            fault = fault_of(registry.manager, module, hook, **arguments)
            if fault:
                yield f"{plugin.name} ({plugin.module}): {fault}"
