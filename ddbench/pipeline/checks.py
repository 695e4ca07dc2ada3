"""Checks a cell before it is planned: what contradicts itself, and what is out of range."""

from __future__ import annotations

from ddbench.api.errors import DDBenchError
from ddbench.api.types import DatasetInfo
from ddbench.pipeline.cell import Cell


def check_needs(cell: Cell) -> None:
    """Checks that a recipe has all that its distiller works with.

    Raises:
        DDBenchError: something is missing.
    """
    recipe = cell.recipe
    needs = recipe.distiller.needs
    if "objective" in needs and not (recipe.matchers or recipe.regularizers):
        raise DDBenchError(
            f"method '{cell.method}' optimises images but has no matcher and no regularizer",
            hint="give it one: --matcher wasserstein",
        )
    if recipe.distiller.statistics and "teacher" not in needs:
        raise DDBenchError(
            f"the distiller of method '{cell.method}' reads statistics but needs no teacher",
            "statistics are taken of a teacher's activations",
            hint='add "teacher" to its `needs`',
        )
    if recipe.distiller.preparation is not None and "networks" not in needs:
        raise DDBenchError(
            f"the distiller of method '{cell.method}' has a preparation but needs no networks",
            "preparations are made through fresh networks",
            hint='add "networks" to its `needs`',
        )


def check_training(cell: Cell) -> None:
    """Checks how teachers and students are trained.

    Raises:
        DDBenchError: options contradict each other, or labels are asked for that cannot be had.
    """
    cell.recipe.squeeze.check("squeeze")
    if cell.recipe.label_squeeze is not None:
        cell.recipe.label_squeeze.check("label_squeeze")
    cell.protocol.check()
    _check_whitening(cell)


def _check_whitening(cell: Cell) -> None:
    """Refuses labels of whitened views: the teacher that would be asked knows normalised ones."""
    epsilon, labeller = cell.protocol.zca, cell.recipe.labeller
    if epsilon and (labeller.asks == "views" or labeller.views is not None):
        raise DDBenchError(
            "students of whitened images cannot have labels of augmented views",
            "the teacher that gives them knows images that were not whitened",
            hint="--labels hard, or --set evaluate.zca=0",
        )


def check_learned(cell: Cell) -> None:
    """Checks that the distiller learns what labeller and protocol read.

    Raises:
        DDBenchError: the images come without learned labels, or without a learned rate.
    """
    learns = cell.recipe.distiller.learns
    if not cell.recipe.labeller.needs <= learns:
        raise DDBenchError(
            f"the images of method '{cell.method}' come without learned labels",
            f"labels '{cell.labels}' train students on them",
            hint="--labels hard",
        )
    if cell.protocol.learned_rate and "rate" not in learns:
        raise DDBenchError(
            f"the images of method '{cell.method}' come without a learned rate",
            "evaluate.learned_rate trains students at it",
            hint="--set evaluate.learned_rate=false",
        )


def count_images(cell: Cell, info: DatasetInfo) -> tuple[int, ...]:
    """Returns how many images of each class the cell's distiller makes.

    Raises:
        DDBenchError: fewer than one, or more than the class has.
    """
    counts = cell.recipe.distiller.counts(info, cell.ipc)
    if cell.ipc is not None and cell.ipc < 1:
        raise DDBenchError(
            f"--ipc {cell.ipc} is out of range", "expected: 1 or more",
            hint="for example --ipc 1,10",
        )  # fmt: skip
    kept = [count // cell.recipe.distiller.shown for count in counts]
    short = [
        (name, have, want)
        for name, have, want in zip(info.classes, info.train_counts, kept, strict=True)
        if want > have
    ]
    if short:
        name, have, want = min(short, key=lambda row: row[1])
        raise DDBenchError(
            f"--ipc {want} is more than class '{name}' of {info.name} has: {have} training images",
            f"{len(short)} of {info.num_classes} classes are too small",
            hint=f"--ipc {have} or less",
        )
    return counts
