"""Figure 4: real and distilled images in the teacher's features, by t-SNE.

Rows of one data set, IPC and teacher share an embedding: the same real images lie at the same place
in each of their panels. t-SNE keeps neighbours, not distances; these stand below as numbers, which
the evaluator `class_separation` measured on the features themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from benchmarks.figures.files import write_figure
from ddbench.api.errors import DDBenchError
from ddbench.api.features import Features
from ddbench.api.record import Record
from ddbench.api.types import FeatureSample
from ddbench.config.session import open_session
from ddbench.pipeline.plan import Plan
from ddbench.pipeline.recording import check_data
from ddbench.pipeline.runner import Runner
from ddbench.pipeline.scoring import feature_sample
from ddbench.registry import Registry
from ddbench.reporting.reproduce.recorded import plan_here, rebuild_cell
from ddbench.reporting.tables.aggregate import Entry, Setting, gather
from ddbench.reporting.tables.formatting import format_spread
from ddbench.reporting.tables.row_names import label_entries
from ddbench.runtime.context import Context
from ddbench.store.cache import Cache

MEASURED = {"intra_class_spread": "intra-class spread", "inter_class_distance": "inter-class dist."}
MOST_CLASSES, MOST_REAL = 10, 100
"""Classes that are shown, the first ones, and real images of each of them, evenly spaced."""
PERPLEXITY = 30.0
RUN_FIRST = "ddbench run benchmarks/figure4.toml --profile cpu"


def group_rows(records: Sequence[Record]) -> list[list[Entry]]:
    """Groups measured rows by setting and teacher; best first, references last.

    Raises:
        DDBenchError: none was measured.
    """
    found: dict[tuple[Setting, str], list[Entry]] = {}
    for entry in label_entries(gather(records)):
        if entry.finished and all(entry.summarize(name) for name in MEASURED):
            teacher = entry.finished[0].keys["squeeze"][0]
            found.setdefault((entry.setting, teacher), []).append(entry)
    if not found:
        raise DDBenchError(
            "figure 4 needs records with class_separation, of two images per class or more",
            hint=f"run it first: {RUN_FIRST}",
        )
    ordered = sorted(found, key=lambda key: (key[0].order, key[1]))
    return [sorted(found[key], key=_rank_key) for key in ordered]


def _rank_key(entry: Entry) -> tuple[bool, float, str]:
    top1 = entry.summarize("top1")
    return entry.baseline, -top1.mean if top1 else 0.0, entry.label


# -- features of finished artifacts ----------------------------------------------------------------


def load_features(
    records: Sequence[Record], cache: Cache, registry: Registry, ctx: Context
) -> list[FeatureSample]:
    """Loads each record's features out of the cache: nothing is trained or distilled.

    Raises:
        DDBenchError: the cache lacks an artifact, or the data set here is another one.
    """
    runner = Runner(cache, ctx, lambda *_: None)
    samples = []
    for record in records:
        plan = plan_here(rebuild_cell(record, registry), ctx.data_root, (Features(),))
        check_data(record, plan.info)
        _check_stored(plan, record, cache)
        samples.append(feature_sample(plan, runner))
    return samples


def _check_stored(plan: Plan, record: Record, cache: Cache) -> None:
    first = plan.teachers[0]
    wanted = [s for s in first.statistics if s.spec.statistic == Features()]
    for stage in (first.squeeze, *wanted, plan.recover):
        if not cache.has(stage.stage, stage.key):
            raise DDBenchError(
                f"the cache lacks {stage.stage} {stage.key} of {record.file_name}",
                f"looked in {cache.root}",
                hint=f"--cache names another folder; or run it again: {RUN_FIRST}",
            )


# -- one plane for all rows of a group -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Embedded:
    """Places in the plane."""

    real: Float[np.ndarray, "n 2"]
    real_labels: Int[np.ndarray, " n"]
    distilled: tuple[tuple[Float[np.ndarray, "m 2"], Int[np.ndarray, " m"]], ...]
    """Places and classes, of each sample in turn."""


def embed(samples: Sequence[FeatureSample]) -> Embedded:
    """Embeds the samples' real images, which are the same in all, together with their distilled
    ones by t-SNE (van der Maaten and Hinton, 2008)."""
    from sklearn.manifold import TSNE

    first = samples[0]
    rows = torch.cat([_space_evenly(first.real_labels == cls) for cls in range(MOST_CLASSES)])
    chosen = [sample.distilled_labels < MOST_CLASSES for sample in samples]
    made = [sample.distilled[which] for sample, which in zip(samples, chosen, strict=True)]
    points = torch.cat([first.real[rows], *made]).cpu().double().numpy()
    plane = TSNE(
        init="pca", perplexity=min(PERPLEXITY, (len(points) - 1) / 3), random_state=0
    ).fit_transform(points)
    real, *placed = np.split(plane, np.cumsum([len(rows), *map(len, made)])[:-1])
    classes = [s.distilled_labels[w].cpu().numpy() for s, w in zip(samples, chosen, strict=True)]
    return Embedded(
        real, first.real_labels[rows].cpu().numpy(), tuple(zip(placed, classes, strict=True))
    )


def _space_evenly(which: Tensor) -> Int[Tensor, " n"]:
    """Returns at most `MOST_REAL` of the chosen rows, evenly spaced."""
    rows = which.nonzero().flatten()
    count = min(len(rows), MOST_REAL)
    return rows[torch.arange(count) * len(rows) // max(count, 1)]


# -- the picture -----------------------------------------------------------------------------------


def draw(
    records: Sequence[Record], folder: Path, cache: Path, data_root: Path | None = None
) -> list[Path]:
    """Writes `figure4.svg`, `.pdf` and `.png`: a line of panels for each group. Returns their
    paths."""
    from matplotlib import pyplot

    groups = group_rows(records)
    session = open_session("auto", "fp32", data_root, cache)
    store = session.cache()
    wide = max(map(len, groups))
    size = (2.6 * wide, 3.1 * len(groups) + 0.4)
    figure, axes = pyplot.subplots(
        len(groups), wide, figsize=size, squeeze=False, layout="constrained"
    )
    for line, entries in zip(axes, groups, strict=True):
        shown = [entry.finished[0] for entry in entries]
        embedded = embed(load_features(shown, store, session.registry, session.ctx))
        for axis in line[len(entries) :]:
            axis.axis("off")
        for axis, entry, made in zip(line, entries, embedded.distilled, strict=False):
            _draw_panel(axis, entry, embedded, made)
        classes = shown[0].configuration["classes"][:MOST_CLASSES]
        setting = entries[0].setting
        line[0].set_ylabel(f"{setting.dataset}, IPC {setting.ipc}", fontsize=9)
        _draw_legend(line[-1], classes)
    return write_figure(figure, folder, "figure4")


def _draw_panel(axis: Any, entry: Entry, embedded: Embedded, made: tuple[Any, Any]) -> None:
    """Draws real images as dots, distilled ones as stars; a colour is a class."""
    look = {"cmap": "tab10", "vmin": -0.5, "vmax": 9.5}
    axis.scatter(*embedded.real.T, c=embedded.real_labels, s=4, alpha=0.35, linewidths=0, **look)
    places, classes = made
    axis.scatter(*places.T, c=classes, s=60, marker="*", edgecolors="black", linewidths=0.5, **look)
    axis.set_title(entry.label, fontsize=9)
    axis.set_xlabel("\n".join(list_numbers(entry)), fontsize=8)
    axis.set(xticks=[], yticks=[])


def list_numbers(entry: Entry) -> list[str]:
    """Lists what stands below a panel: mean ± sample standard deviation over the seeds."""
    told = []
    for name, words in {**MEASURED, "top1": "top-1 %"}.items():
        summary = entry.summarize(name)
        if summary is not None:
            unit = "%" if name == "top1" else ""
            told.append(f"{words} {format_spread(summary.mean, summary.sd, unit)}")
    return told


def _draw_legend(axis: Any, classes: Sequence[str]) -> None:
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 4}
    marks = [Line2D([], [], color=colours[i], label=name, **dot) for i, name in enumerate(classes)]
    marks += [
        Line2D([], [], color="0.6", label="real", **dot),
        Line2D([], [], color="0.6", label="distilled", **{**dot, "marker": "*", "markersize": 8}),
    ]
    axis.legend(
        handles=marks, fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5)
    )
