"""targets: features of each class -> the atoms that its images are drawn to. On the CPU."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean

import torch

from ddbench.context import Context
from ddbench.errors import DDBenchError
from ddbench.meter import Meter
from ddbench.seeds import generator
from ddbench.stage_specs import Targets
from ddbench.types import Tensors


def targets(
    spec: Targets, features: Tensors, ctx: Context, meter: Meter
) -> tuple[Tensors, dict[str, float]]:
    """Atoms of all classes, class-major: `points` [n d], `weights` [n]; and their mean figures."""
    points, weights, figures = [], [], defaultdict(list)
    meter.group()
    with ctx.progress.stage("targets: atoms of each class", len(spec.counts)) as advance:
        for cls, count in enumerate(spec.counts):
            if count == 0:
                continue
            own = features["features"][features["labels"] == cls].double()
            atoms = spec.target.atoms(own, count, generator(spec.seed, "targets", cls))
            if atoms.points.shape != (count, own.shape[1]) or atoms.weights.shape != (count,):
                raise DDBenchError(
                    f"{type(spec.target).__name__}.atoms gave points {list(atoms.points.shape)} "
                    f"and weights {list(atoms.weights.shape)}",
                    f"expected [m, d] = [{count}, {own.shape[1]}] and [{count}], for class {cls}",
                    hint="mend the target's `atoms`",
                )
            points.append(atoms.points.float())
            weights.append(atoms.weights.float())
            for name, value in atoms.report.items():
                figures[name].append(value)
            meter.tick()
            advance(1)
    report = {f"targets.{name}": fmean(values) for name, values in figures.items()}
    return {"points": torch.cat(points), "weights": torch.cat(weights)}, report
