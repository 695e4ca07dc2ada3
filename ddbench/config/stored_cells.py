"""Plans the cells that evaluate a stored distilled set: its card says which, or else the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ddbench.api.distilled_set import PortableSet
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Evaluator, Labeller
from ddbench.config.rows import LABELS_OF_REFERENCE, drop_learned
from ddbench.config.session import Session
from ddbench.config.suite import read_suite
from ddbench.config.unused import Readers
from ddbench.data.description import NamedDataset, describe, find_dataset
from ddbench.data.real import load_whitening, open_data
from ddbench.data.stored_set import Stored, StoredSet, open_stored_set, open_stored_views
from ddbench.data.whitening import Whitening
from ddbench.pipeline.cell import Cell
from ddbench.pipeline.checks import check_learned
from ddbench.pipeline.plan import Plan, plan
from ddbench.pipeline.scoring import wanted_statistics

STORED = "stored"
"""Name of the labels that came with a set: learned ones, or those of its views."""
_EXAMPLE = "--labels hard, or fkd with --teacher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """A user's choices for the cells of a stored set; "" leaves it to the set's card."""

    students: tuple[str, ...] = ()
    """Architectures of the students."""
    labels: str = ""
    """A labeller, or `STORED`."""
    teacher: str = ""
    protocol: str = ""
    seeds: int = 3
    reference: bool = False
    """Whether there are reference rows."""
    learned_rate: bool = False
    """Whether students learn at the set's own step size."""


def plan_stored_set(
    distilled: PortableSet,
    choices: Choices,
    session: Session,
    evaluators: Mapping[str, Evaluator],
    where: Path,
) -> list[Plan]:
    """Plans the cells of the set's method, with its images in the place of distillation.

    Args:
        distilled: The set; its card names the data set and the classes.
        choices: What the user says.
        session: Where parts, data and whitenings are looked up.
        evaluators: Whose statistics the cells need.
        where: How errors call the set.

    Raises:
        DDBenchError: neither card nor user says what is needed, or labels and protocol do not fit.
    """
    card = distilled.card
    labels = _choose_labels(distilled, choices, where)
    fields = _choose_fields(distilled, choices, labels, where)
    dataset = find_dataset(card["dataset"], session.registry)
    info = describe(dataset, session.ctx.data_root)
    stored, learned = open_stored_set(distilled, _load_whitening(distilled, dataset, session))
    known = card["method"] in session.registry.names("recipe")
    method = card["method"] if known else "random"
    came = labels == STORED
    if came:
        fields["labels"] = LABELS_OF_REFERENCE if learned else _find_view_labeller(card)
    fields |= {"method": method, "ipc": max(stored.per_class)}
    extra = wanted_statistics(evaluators)
    plans = []
    # Options and teacher of the set may be of stages that its evaluation goes without.
    suite = read_suite(None, "", fields)
    for planned in session.plans(suite, evaluators, warn_unused=False, stand_ins=True):
        cell = planned.cell
        if cell.method == method:
            labeller: Labeller | None = None
            if came:
                labeller = learned or open_stored_views(distilled, cell.recipe.labeller)
            exchanged = _exchange_images(cell, stored, labeller, card)
            exchanged = _add_learned(exchanged, learned, distilled.rate)
            plans.append(plan(exchanged, info, extra))
        took_place = not known and drop_learned(cell, session.registry) == cell
        if cell.method != method or (choices.reference and took_place):
            # A reference row; also the one whose place a stranger's set took. It shares the options
            # of the set's profile, as far as any of them are left.
            mark = card.get("profile") or "" if fields["set"] else ""
            plans.append(replace(planned, cell=replace(cell, profile=mark)))
    if choices.teacher:
        readers = Readers(extra)
        for planned in plans:
            readers.note_teachers(choices.teacher, planned.cell, planned.info)
        readers.report()
    return plans


def _choose_labels(distilled: PortableSet, choices: Choices, where: Path) -> str:
    """Returns the labels that the user names, or else those that come with the set."""
    comes_with_labels = distilled.soft_labels is not None or distilled.views is not None
    labels = choices.labels or (STORED if distilled.views is not None else "")
    labels = labels or distilled.card.get("labels") or (STORED if comes_with_labels else "")
    if not labels:
        raise _not_recorded(where, "how its images are labelled", _EXAMPLE)
    if labels == STORED and not comes_with_labels:
        raise DDBenchError(
            f"{where} holds no labels: no learned ones, and none that a teacher gave to its views",
            hint=_EXAMPLE,
        )
    return labels


def _choose_fields(
    distilled: PortableSet, choices: Choices, labels: str, where: Path
) -> dict[str, Any]:
    """Returns the fields of a suite that decide the cells, as the user or else the card has them.

    Options that the set was made with are kept where they bear on evaluation, but for those of
    parts that the user replaces.
    """
    card = distilled.card
    students = choices.students or tuple(filter(None, [card.get("student")]))
    if not students:
        raise _not_recorded(where, "which network its students are", "--arch resnet18, say")
    replaced = {
        "student": bool(choices.students),
        "evaluate": bool(choices.protocol),
        "teacher": bool(choices.teacher),
        "relabel": bool(choices.labels) and (labels != STORED or distilled.soft_labels is not None),
    }
    roots = {"squeeze", "label_squeeze", *(root for root, other in replaced.items() if not other)}
    given = card.get("given", {})
    options = {path: text for path, text in given.items() if path.partition(".")[0] in roots}
    if choices.learned_rate:
        if distilled.rate is None:
            hint = "leave --learned-rate out"
            raise DDBenchError(f"{where} holds no learned step size", hint=hint)
        options["evaluate.lr"] = repr(distilled.rate)
    if distilled.pixels == "whitened":  # test images have to be whitened alike
        options["evaluate.zca"] = repr(card["zca"])
    return {
        "dataset": card["dataset"],
        "arch": list(students),
        "labels": labels,
        "protocol": choices.protocol or card.get("protocol", "ddbench-v1"),
        "teacher": choices.teacher or card.get("teacher") or students[0],
        "seed": card.get("seed", 0),
        "seeds": choices.seeds,
        "reference": choices.reference,
        "set": options,
    }


def _not_recorded(where: Path, what: str, example: str) -> DDBenchError:
    fact = "neither its card nor its layout records it"
    return DDBenchError(f"{where} does not say {what}", fact, hint=example)


def _load_whitening(
    distilled: PortableSet, dataset: NamedDataset, session: Session
) -> Whitening | None:
    """Loads, or makes, what whitened images were whitened by; None for other images."""
    if distilled.pixels != "whitened":
        return None
    data = open_data(dataset, session.ctx, session.cache())
    return load_whitening(data, distilled.card["zca"], session.cache(), session.ctx).on("cpu")


def _find_view_labeller(card: Mapping[str, Any]) -> str:
    """Returns the labeller whose loss students have for the labels of stored views."""
    name = card.get("labels")
    if not name or name == STORED:
        raise DDBenchError(
            "the set does not say which labeller its stored labels are for",
            "neither its card nor its layout records it",
            hint="`labels` of its card names a labeller, such as fkd",
        )
    return str(name)


def _add_learned(cell: Cell, labels: Stored | None, rate: float | None) -> Cell:
    """Returns a cell of a stored set with the learned labels and rate that it reads.

    Raises:
        DDBenchError: it reads some, and the set holds none.
    """
    stored: Any = cell.recipe.distiller
    if cell.recipe.labeller.needs and labels:
        stored = replace(stored, soft_labels=labels.sha256)
    if cell.protocol.learned_rate:
        stored = replace(stored, rate=rate)
    cell = replace(cell, recipe=replace(cell.recipe, distiller=stored))
    check_learned(cell)
    return cell


def _exchange_images(
    cell: Cell, stored: StoredSet, labeller: Labeller | None, card: Mapping[str, Any]
) -> Cell:
    """Returns a cell with stored images, and the labels that came with them unless None."""
    crossed = cell.student.part != cell.teacher.part
    if labeller is not None and cell.protocol.holdout and crossed:
        raise DDBenchError(
            f"protocol '{cell.protocol.name}' holds images out to choose the epoch",
            "labels that came with the set belong to the whole of it",
            hint="--protocol ddbench-v1, or --labels hard",
        )
    method = card["method"]
    known = cell.recipe.name == method
    title = card.get("title") or (cell.recipe.card.title if known else method)
    recipe = replace(
        cell.recipe,
        name=method,
        card=replace(cell.recipe.card, title=title),
        matchers=(),
        regularizers=(),
        distiller=stored,
        labeller=labeller or cell.recipe.labeller,
        baseline=False,
    )
    return replace(
        cell,
        method=card.get("variant") or method,
        recipe=recipe,
        profile=card.get("profile") or "",
    )
