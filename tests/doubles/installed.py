"""Makes a folder look like an installed distribution, without pip."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

from ddbench.api.roles import REQUIRED, members_of
from ddbench.registry import ROLES


def install(site: Path, distribution: str, modules: Mapping[str, str]) -> list[EntryPoint]:
    """Modules by name, each an entry point of its own name in the group `ddbench`.

    Args:
        site: A folder that is, or will be, on the import path.
        distribution: Its name.
        modules: Source of each.
    """
    card = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    card.mkdir(parents=True)
    (card / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = [f"{name} = {name}" for name in modules]
    (card / "entry_points.txt").write_text("[ddbench]\n" + "\n".join(lines) + "\n")
    for name, source in modules.items():
        path = site / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    found = [d for d in distributions(path=[str(site)]) if d.name == distribution]
    return [point for d in found for point in d.entry_points]


def provider(kind: str, *names: str, aliases: Mapping[str, str] | None = None) -> str:
    """Source of a plug-in whose parts have what their role asks for, and do nothing."""
    role = members_of(ROLES[kind]) if kind in ROLES else {"__call__": REQUIRED}
    wanted = [name for name, default in role.items() if default is REQUIRED]
    body = "\n".join(f"    {name} = {'print' if name == '__call__' else None}" for name in wanted)
    return f"""
from dataclasses import dataclass
from ddbench import hookimpl

@dataclass(frozen=True)
class Part:
    argument = {"path" if kind == "dataset" else ""!r}
    path: str = ""
{body}

@hookimpl
def ddbench_{kind}s():
    return {{name: Part() for name in {names!r}}}

@hookimpl
def ddbench_aliases():
    return {dict(aliases or {})!r}
"""
