"""`ddbench doctor`: checks that everything is here that a run needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ddbench.api.errors import DDBenchError, format_count
from ddbench.cli.options import CacheOption, DataRootOption

if TYPE_CHECKING:
    from rich.console import Console

    from ddbench.registry import Registry


def doctor(data_root: DataRootOption = None, cache: CacheOption = None) -> None:
    """Check the installation: versions, devices, cache, data sets, plug-ins."""
    from rich.console import Console

    problems = examine(Console(highlight=False), data_root, cache)
    raise typer.Exit(1 if problems else 0)


def examine(console: Console, data_root: Path | None, cache: Path | None) -> int:
    """Prints what is installed and at hand; returns the number of problems."""
    from ddbench import registry
    from ddbench.runtime.context import find_data_root
    from ddbench.store.cache import find_cache

    problems = _examine_machine(console)
    console.print("[bold]cache[/bold]")
    problems += _examine_cache(console, find_cache(cache))
    console.print("[bold]plug-ins[/bold]")
    try:
        parts = registry.load()
    except DDBenchError as fault:
        _print_fault(console, str(fault))
        return problems + 1
    broken = [plugin for plugin in parts.plugins if plugin.error]
    console.print(f"  {len(parts.plugins) - len(broken)} loaded, {len(broken)} broken")
    for plugin in broken:
        _print_fault(console, f"{plugin.name} ({plugin.distribution}): {plugin.error}")
    problems += len(broken)
    console.print("[bold]data sets[/bold]")
    _list_datasets(console, parts, find_data_root(data_root))
    console.print(format_count(problems, "problem") if problems else "no problems")
    return problems


def _examine_machine(console: Console) -> int:
    """Prints processors, memory and packages; returns how many packages are missing."""
    from ddbench.runtime.context import choose_precision
    from ddbench.runtime.environment import describe_environment

    card = describe_environment()
    precision = choose_precision("auto", "cuda" if card["gpu"] else "cpu")
    console.print("[bold]machine[/bold]")
    console.print(f"  {card['cpu']}, {card['cores']} cores, {card['memory_bytes'] / 2**30:.0f} GiB")
    console.print(f"  GPU: {card['gpu'] or 'none'}")
    if card.get("plain"):
        console.print("  own kernels are off (DDBENCH_PLAIN), plain operations compute everything")
    console.print(f"  --precision auto means {precision} here")
    console.print("[bold]packages[/bold]")
    for name, version in card["packages"].items():
        console.print(f"  {name} {version or '[red]missing[/red]'}")
    return sum(version is None for version in card["packages"].values())


def _print_fault(console: Console, text: str) -> None:
    from rich.markup import escape

    console.print(f"  [red]{escape(text)}[/red]")


def _examine_cache(console: Console, root: Path) -> int:
    from ddbench.store.cache import Cache

    if not root.exists():
        console.print(f"  {root}: not there yet, the first run makes it")
        return 0
    try:
        folders = [folder for _, _, folder in Cache(root).entries()]
    except DDBenchError as fault:
        _print_fault(console, str(fault))
        return 1
    size = sum(file.stat().st_size for folder in folders for file in folder.iterdir())
    count = format_count(len(folders), "artifact")
    console.print(f"  {root}: {count}, {size / 2**20:,.0f} MiB")
    return 0


def _list_datasets(console: Console, registry: Registry, root: Path | None) -> None:
    """Prints which data sets are at hand; one that is not is no problem."""
    from rich.markup import escape

    for name in registry.names("dataset"):
        part = registry.parts["dataset"][name]
        if getattr(part, "argument", ""):
            continue
        try:
            info = part.info(root)
        except DDBenchError as fault:
            console.print(f"  {name}: not here ({escape(fault.problem)})")
        else:
            counts = f"{sum(info.train_counts):,} + {sum(info.test_counts):,} images"
            console.print(f"  {name}: {counts}, {info.num_classes} classes")
