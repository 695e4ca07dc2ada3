"""`ddbench doctor`: is everything here that a run needs?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape

from ddbench.api.errors import DDBenchError, format_count
from ddbench.registry import Registry, load
from ddbench.runtime.context import choose_precision, find_data_root
from ddbench.runtime.environment import describe_environment
from ddbench.store.cache import Cache, find_cache


def examine(console: Any, data_root: Path | None, cache: Path | None) -> int:
    """Prints what is found; returns the number of problems."""
    problems = 0
    card = describe_environment()
    console.print("[bold]machine[/bold]")
    memory = card["memory_bytes"] / 2**30
    console.print(f"  {card['cpu']}, {card['cores']} cores, {memory:.0f} GiB", highlight=False)
    console.print(f"  GPU: {card['gpu'] or 'none'}", highlight=False)
    if card.get("plain"):
        console.print("  own kernels are off (DDBENCH_PLAIN), plain operations compute everything")
    device = "cuda" if card["gpu"] else "cpu"
    console.print(f"  --precision auto means {choose_precision('auto', device)} here")
    console.print("[bold]packages[/bold]")
    for name, version in card["packages"].items():
        problems += version is None
        console.print(f"  {name} {version or '[red]missing[/red]'}", highlight=False)
    console.print("[bold]cache[/bold]")
    problems += _cache(console, find_cache(cache))
    console.print("[bold]plug-ins[/bold]")
    try:
        registry = load()
    except DDBenchError as fault:
        console.print(f"  [red]{escape(str(fault))}[/red]", highlight=False)
        return problems + 1
    broken = [plugin for plugin in registry.plugins if plugin.error]
    console.print(f"  {len(registry.plugins) - len(broken)} loaded, {len(broken)} broken")
    for plugin in broken:
        said = f"{plugin.name} ({plugin.distribution}): {plugin.error}"
        console.print(f"  [red]{escape(said)}[/red]", highlight=False)
    problems += len(broken)
    console.print("[bold]data sets[/bold]")
    _datasets(console, registry, find_data_root(data_root))
    console.print("no problems" if not problems else format_count(problems, "problem"))
    return problems


def _cache(console: Any, root: Path) -> int:
    if not root.exists():
        console.print(f"  {root}: not there yet, the first run makes it", highlight=False)
        return 0
    try:
        cache = Cache(root)
        entries = list(cache.entries())
    except DDBenchError as fault:
        console.print(f"  [red]{escape(str(fault))}[/red]", highlight=False)
        return 1
    size = sum(f.stat().st_size for _, _, p in entries for f in p.iterdir())
    told = f"{format_count(len(entries), 'artifact')}, {size / 2**20:,.0f} MiB"
    console.print(f"  {root}: {told}", highlight=False)
    return 0


def _datasets(console: Any, registry: Registry, root: Path | None) -> None:
    """Which are at hand; one that is not is no problem."""
    for name in registry.names("dataset"):
        part = registry.parts["dataset"][name]
        if part.argument:
            continue
        try:
            info = part.info(root)
        except DDBenchError as fault:
            console.print(f"  {name}: not here ({escape(fault.problem)})", highlight=False)
        else:
            counts = f"{sum(info.train_counts):,} + {sum(info.test_counts):,} images"
            console.print(f"  {name}: {counts}, {info.num_classes} classes", highlight=False)
