"""The command: `python -m benchmarks.perf`."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

PARTS = (
    "recover",
    "compiled",
    "memory",
    "statistics",
    "barycenters",
    "student",
    "convnet",
    "pipeline",
    "growth",
    "grids",
)


def main(
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    precision: Annotated[
        str, typer.Option(help="Of harness and floor: auto (bf16 where it is native), fp32, bf16.")
    ] = "auto",
    only: Annotated[str, typer.Option(help=f"Some of: {','.join(PARTS)}.")] = ",".join(PARTS),
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: a smoke test.")] = False,
    repeats: Annotated[int, typer.Option(help="Of each variant; 0 for the usual number.")] = 0,
    threads: Annotated[
        int, typer.Option(min=0, help="Of a CPU; 0 for as many as torch takes, usually all cores.")
    ] = 0,
    resolution: Annotated[int, typer.Option(help="Pixels a side.")] = 64,
    batch: Annotated[int, typer.Option(help="Images of a batch, a multiple of 10.")] = 100,
    images: Annotated[
        str, typer.Option(help="Folder of train/ and test/ for `pipeline`; noise without it.")
    ] = "",
    teachers: Annotated[
        str, typer.Option(help="A cache with the teacher for `pipeline`; trained without it.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for results.md and results.json.")
    ] = None,
) -> None:
    """Measures the harness beside the bare network and a plain loop, and says what was promised."""
    import torch

    from benchmarks.perf import plot, report
    from benchmarks.perf.world import Settings
    from ddbench.runtime.context import choose_device, choose_precision
    from ddbench.runtime.environment import describe_environment
    from ddbench.runtime.memory import keep_freed_memory

    chosen = only.split(",")
    if unknown := [name for name in chosen if name not in PARTS]:
        raise typer.BadParameter(f"{', '.join(unknown)}; known: {', '.join(PARTS)}")
    for folder in (images, teachers):
        if folder and not Path(folder).is_dir():
            raise typer.BadParameter(f"there is no folder {folder}")
    if batch < 10 or batch % 10:
        raise typer.BadParameter(f"a batch of {batch}; expected: a multiple of 10")
    threads = threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    keep_freed_memory()  # in one process the plain loop and the floor gain by it as well
    found_device = choose_device(device)
    settings = Settings(
        device=found_device,
        precision=choose_precision(precision, found_device),
        quick=quick,
        resolution=resolution,
        batch=10 if quick else batch,
        repeats=repeats or (1 if quick else 7),
        threads=threads,
        images=images,
        teachers=teachers,
    )
    console, parts = Console(), []
    for name in chosen:
        started = time.perf_counter()
        parts.append(importlib.import_module(f"benchmarks.perf.{name}").measure(settings))
        report.show(parts[-1], console)
        console.print(f"  ({name}: {time.perf_counter() - started:.0f} s)\n")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        card, command = describe_environment(), join_command(sys.argv[1:])
        (output / "results.md").write_text(report.to_markdown(parts, card, command) + "\n")
        text = json.dumps(report.to_json(parts, card, command), indent=1)
        (output / "results.json").write_text(text + "\n")
        for curves in (part.curves for part in parts if part.curves):
            plot.draw(curves, output)


def join_command(words: Sequence[str]) -> str:
    """Joins the words of the command but for where it wrote to: a folder of one machine."""
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if not {before, word} & {"-o", "--output"} and not word.startswith("--output=")
    ]
    return " ".join(["python -m benchmarks.perf", *kept])


if __name__ == "__main__":
    from ddbench.api.errors import DDBenchError
    from ddbench.cli import show_error

    try:
        typer.run(main)
    except DDBenchError as fault:  # such as a device that is not here
        show_error(fault)
        sys.exit(2)
