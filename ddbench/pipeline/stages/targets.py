"""targets: features of each class -> the atoms that its images are drawn to. On the CPU."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean

import torch

from ddbench.api.errors import DDBenchError
from ddbench.api.types import Atoms
from ddbench.pipeline.results import ClassAtoms, LabelledFeatures
from ddbench.pipeline.specs import Targets
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.runtime.parallel import run_side_by_side
from ddbench.runtime.seeds import make_generator


def find_atoms(
    spec: Targets, known: LabelledFeatures, ctx: Context, meter: Meter
) -> tuple[ClassAtoms, dict[str, float]]:
    """Finds the atoms of all classes; returns them with the means of their figures."""
    labels = known.labels
    sizes = labels.bincount(minlength=len(spec.counts)).tolist()
    by_class = labels.argsort(stable=True).split(sizes)
    rows = {cls: by_class[cls] for cls, count in enumerate(spec.counts) if count}

    def find(cls: int) -> Atoms:
        own = known.features[rows[cls]].double()
        atoms = spec.target.atoms(own, spec.counts[cls], make_generator(spec.seed, "targets", cls))
        _check(atoms, spec, cls, own.shape[1])
        return atoms

    meter.group()
    every: list[Atoms] = []
    figures = defaultdict(list)
    with ctx.progress.stage("targets: atoms of each class", len(rows)) as advance:
        for atoms in run_side_by_side(find, list(rows)):
            every.append(atoms)
            for name, value in atoms.report.items():
                figures[name].append(value)
            meter.tick()
            advance(1)
    points = torch.cat([atoms.points.float() for atoms in every])
    weights = torch.cat([atoms.weights.float() for atoms in every])
    report = {f"targets.{name}": fmean(values) for name, values in figures.items()}
    return ClassAtoms(points, weights), report


def _check(atoms: Atoms, spec: Targets, cls: int, width: int) -> None:
    count = spec.counts[cls]
    if atoms.points.shape != (count, width) or atoms.weights.shape != (count,):
        raise DDBenchError(
            f"{type(spec.target).__name__}.atoms gave points {list(atoms.points.shape)} "
            f"and weights {list(atoms.weights.shape)}",
            f"expected [m, d] = [{count}, {width}] and [{count}], for class {cls}",
            hint="mend the target's `atoms`",
        )
