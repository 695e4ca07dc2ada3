"""Expands a grid, as the user names it, into the plans of its cells and their reference rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

from ddbench.api.card import Claim
from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import NamedArchitecture, Recipe
from ddbench.api.roles import Statistic
from ddbench.api.types import DatasetInfo
from ddbench.config.overrides import apply
from ddbench.config.profiles import Profile
from ddbench.config.rows import (
    drop_learned,
    find_teachers,
    make_all_recipes,
    make_recipe,
    name_composition,
    replace_claims,
    replace_labeller,
    replace_losses,
)
from ddbench.config.unused import Readers
from ddbench.data.description import NamedDataset, describe, find_dataset
from ddbench.pipeline.cell import Cell
from ddbench.pipeline.checks import check_learned
from ddbench.pipeline.plan import Plan, plan
from ddbench.registry import Registry
from ddbench.runtime.context import Precision

DEFAULT_TEACHER = "resnet18"
"""The teacher where neither the user nor the recipe names one."""
_Place: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A row of an ablation: a method with some parts or options changed."""

    name: str = ""
    method: str = ""
    matcher: str = ""
    regularizer: str = ""
    set: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A grid as the user names it."""

    methods: tuple[str, ...] = ("wmdd",)
    matchers: tuple[str, ...] = ()
    regularizers: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ("digits",)
    ipcs: tuple[int, ...] = ()
    students: tuple[str, ...] = ("resnet18",)
    """Architectures of the students."""
    teachers: tuple[str, ...] = ()
    """Architectures of the teachers; without any, each recipe's own, or the default."""
    labels: tuple[str, ...] = ()
    """Labellers instead of the recipe's."""
    protocols: tuple[str, ...] = ("ddbench-v1",)
    seeds: int = 3
    """Number of distillation seeds."""
    seed: int = 0
    """The first of them."""
    runs: int = 1
    """Number of students trained on each distilled set."""
    holdout: float = 0.0
    """Share of the training images that serves as test data; 0 for the real test data."""
    reference: bool = True
    """Whether the reference rows are added."""
    assignments: Mapping[str, str] = field(default_factory=dict)
    """Options of every cell, by path."""
    assignments_for: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Options of the cells of single methods."""
    profile: Profile = field(default_factory=Profile)
    variants: tuple[Variant, ...] = ()
    claims: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)
    """Published figures by row; they come before those of the recipes."""
    precision: Precision = "fp32"


def expand(
    selection: Selection,
    registry: Registry,
    root: Path | None,
    extra: tuple[Statistic, ...] = (),
    *,
    warn_unused: bool = True,
    stand_ins: bool = False,
) -> list[Plan]:
    """Returns the plans of every cell, each once, reference rows last.

    Args:
        selection: What was asked for.
        registry: The installed parts.
        root: Folder of the data sets.
        extra: Statistics that evaluators want.
        warn_unused: Whether to warn of options and teachers that no row reads.
        stand_ins: Whether other images will take the place of those of the rows: then nothing is
            said of learned labels or a rate that the latter come without.

    Raises:
        DDBenchError: an unknown name, an option out of range, data that are not there, a variant
            that changes nothing, or an ensemble with a network that no row reads.
    """
    _check_ranges(selection)
    selection = _resolve_methods(selection, registry)
    plans: dict[_Place, Plan] = {}
    references: dict[_Place, Plan] = {}
    readers = Readers(extra)
    for name in selection.datasets:
        dataset = find_dataset(name, registry, selection.holdout)
        info = describe(dataset, root)
        for ipc in selection.ipcs or (dataset.part.default_ipc,):
            block = _Block(selection, registry, dataset, info, ipc)
            cells = list(block.cells(readers))
            _add_plans(cells, info, extra, plans)
            for cell in block.reference_cells(cells):
                planned = plan(cell, info, extra)
                references.setdefault(_place_of(planned), planned)
    for planned in plans.values() if not stand_ins else ():
        check_learned(planned.cell)
    if warn_unused:
        readers.report()
    return [*plans.values(), *(p for place, p in references.items() if place not in plans)]


def _place_of(planned: Plan) -> _Place:
    """Returns what tells cells apart: their keys, and the table that they stand in.

    Under hard labels, random images are the same cell beside each teacher.
    """
    cell = planned.cell
    names = (cell.dataset.name, cell.teacher.name, cell.student.name, cell.protocol.name)
    return (planned.key, *names)


def _add_plans(
    cells: list[Cell], info: DatasetInfo, extra: tuple[Statistic, ...], plans: dict[_Place, Plan]
) -> None:
    """Adds the plans of cells, and refuses a row that is the same as another one."""
    for cell in cells:
        planned = plan(cell, info, extra)
        first = plans.setdefault(_place_of(planned), planned)
        if first.cell.method != cell.method:
            raise DDBenchError(
                f"'{cell.method}' changes nothing against '{first.cell.method}'",
                "every stage has the same key",
                hint="remove one of them, or give an option another value",
            )


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the grid: its label, its recipe, and the options that its variant sets."""

    label: str
    recipe: Recipe
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Block:
    """The part of a grid with one data set and one number of images per class."""

    selection: Selection
    registry: Registry
    dataset: NamedDataset
    info: DatasetInfo
    ipc: int

    def cells(self, readers: Readers) -> Iterator[Cell]:
        """Yields the cells of every row that was asked for, and notes what they read."""
        chosen = self.selection
        rows = [labelled for row in self._rows() for labelled in self._with_labels(row)]
        recipes = [row.recipe for row in rows]
        chosen.profile.check(recipes)
        _check_terms(chosen.assignments, recipes)
        compared = not all(recipe.baseline for recipe in recipes)
        protocols = [self.registry.get("protocol", name)(self.info) for name in chosen.protocols]
        for row in rows:
            for protocol, teacher, student, seed in product(
                protocols,
                chosen.teachers or (row.recipe.teacher or DEFAULT_TEACHER,),
                chosen.students,
                range(chosen.seed, chosen.seed + chosen.seeds),
            ):
                first, companions = find_teachers(teacher, row.recipe, self.registry)
                part = self.registry.get("architecture", student)
                bare = Cell(
                    method=row.label,
                    recipe=row.recipe,
                    dataset=self.dataset,
                    ipc=self.ipc,
                    teacher=first,
                    companions=companions,
                    student=NamedArchitecture(name=student, part=part),
                    protocol=protocol,
                    seed=seed,
                    students=chosen.runs,
                    precision=chosen.precision,
                    profile=chosen.profile.mark(row.recipe),
                )
                if compared and row.recipe.baseline:
                    bare = drop_learned(bare, self.registry)
                options = self._options(row, compared)
                cell = apply(bare, options)
                if seed == chosen.seed:  # cells of the other seeds read the same
                    by_profile = chosen.profile.options(row.recipe)
                    asked = [path for path in options if by_profile.get(path) != options[path]]
                    readers.note_options(bare, options, asked, self.info)
                    if chosen.teachers:
                        readers.note_teachers(teacher, cell, self.info)
                yield cell

    def reference_cells(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        """Yields baseline recipes under the labels, protocol and networks of each group of rows."""
        if not self.selection.reference:
            return
        for name, recipe in make_all_recipes(self.registry, self.info, self.ipc):
            whole = recipe.baseline and (
                recipe.distiller.counts(self.info, self.ipc) == self.info.train_counts
            )
            for cell in cells if recipe.baseline else ():
                # The teacher must be the very one of the rows that this row is compared with.
                same = replace(
                    recipe,
                    labeller=cell.recipe.labeller,
                    squeeze=cell.recipe.squeeze,
                    label_squeeze=cell.recipe.label_squeeze,
                )
                beside = replace(
                    cell,
                    method=name,
                    recipe=same,
                    ipc=None if whole else cell.ipc,
                    profile=self.selection.profile.mark_of_reference(cell.recipe, same),
                )
                beside = drop_learned(beside, self.registry)
                yield apply(beside, self.selection.assignments_for.get(recipe.name, {}))

    def _rows(self) -> Iterator[_Row]:
        """Yields every row under its recipe's own labels."""
        chosen, place = self.selection, (self.registry, self.info, self.ipc)
        _refuse_equal_names(chosen.variants)
        for variant in chosen.variants:
            recipe = make_recipe(variant.method or chosen.methods[0], *place)
            recipe = replace_losses(recipe, variant.matcher, variant.regularizer, *place)
            if variant.set:  # what was published of the method says nothing of other options
                recipe = replace_claims(recipe, ())
            yield _Row(variant.name or name_composition(recipe), recipe, variant.set)
        if chosen.variants:
            return
        for method in chosen.methods:
            recipe = make_recipe(method, *place)
            if not chosen.matchers and not chosen.regularizers:
                yield _Row(self.registry.resolve("recipe", method), recipe)
                continue
            for matcher, regularizer in product(
                chosen.matchers or ("",), chosen.regularizers or ("",)
            ):
                composed = replace_losses(recipe, matcher, regularizer, *place)
                yield _Row(name_composition(composed), composed)

    def _with_labels(self, row: _Row) -> Iterator[_Row]:
        """Yields a row, with the suite's claims, under each of the chosen labels."""
        claims = self.selection.claims.get(row.label, ())
        recipe = replace_claims(row.recipe, (*claims, *row.recipe.card.claims))
        for labels in self.selection.labels:
            labeller = self.registry.get("labeller", labels)
            yield replace(row, recipe=replace_labeller(recipe, labeller, claims))
        if not self.selection.labels:
            yield replace(row, recipe=recipe)

    def _options(self, row: _Row, compared: bool) -> dict[str, str]:
        """Returns the options of a row's cells, whoever sets them; the last in order wins."""
        chosen = self.selection
        shared = chosen.assignments
        if compared and row.recipe.baseline:
            shared = _drop_options_of_methods(shared, row.recipe)
        sized = row.recipe.profiles.get(chosen.profile.name, {})
        own = chosen.assignments_for.get(row.recipe.name, {})
        return {**sized, **shared, **own, **row.options}


def _drop_options_of_methods(options: Mapping[str, str], recipe: Recipe) -> dict[str, str]:
    """Drops options that a reference row cannot have: of other loops, and of a learned rate.

    They bear on the rows that it is compared with, which refuse them if they are wrong.
    """
    distiller: Any = recipe.distiller
    known = {field.name for field in fields(distiller)}
    return {
        path: text
        for path, text in options.items()
        if (not path.startswith("recover.") or path.split(".")[1] in known)
        and (path != "evaluate.learned_rate" or "rate" in distiller.learns)
    }


def _check_terms(assignments: Mapping[str, str], recipes: Sequence[Recipe]) -> None:
    """Refuses an option of matchers or regularizers where no row has any."""
    for path in assignments:
        root = path.partition(".")[0]
        if root in ("matcher", "regularizer") and not any(getattr(r, f"{root}s") for r in recipes):
            raise DDBenchError(
                f"--set {path} changes nothing: no row has a {root}",
                f"methods: {', '.join(dict.fromkeys(recipe.name for recipe in recipes))}",
                hint="leave it out",
            )


def _resolve_methods(selection: Selection, registry: Registry) -> Selection:
    """Returns the selection with options of single methods under the methods' own names.

    Raises:
        DDBenchError: there is no such method.
    """

    def resolve(options: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
        for name in options:
            registry.get("recipe", name)
        return {registry.resolve("recipe", name): own for name, own in options.items()}

    profile = replace(selection.profile, set_for=resolve(selection.profile.set_for))
    return replace(selection, assignments_for=resolve(selection.assignments_for), profile=profile)


def _refuse_equal_names(variants: Sequence[Variant]) -> None:
    names = [variant.name for variant in variants if variant.name]
    for name in names:
        if names.count(name) > 1:
            raise DDBenchError(
                f"{names.count(name)} variants are called '{name}'",
                "expected: a name of its own for every row",
                hint="rename one, or leave the names out",
            )


def _check_ranges(selection: Selection) -> None:
    """Refuses numbers that no grid can have."""
    rules: list[tuple[str, object, bool, str, str]] = [
        ("--ipc", ipc, ipc >= 1, "1 or more", "1,10") for ipc in selection.ipcs
    ]
    rules += [
        ("--seeds", selection.seeds, selection.seeds >= 1, "1 or more", "3"),
        ("--students", selection.runs, selection.runs >= 1, "1 or more", "3"),
        ("--holdout", f"{selection.holdout:g}", 0 <= selection.holdout < 1, "0 to below 1", "0.2"),
        ("--seed", selection.seed, selection.seed >= 0, "0 or more", "0"),
    ]
    for flag, value, allowed, expected, example in rules:
        if not allowed:
            raise DDBenchError(
                f"{flag} {value} is out of range",
                f"expected: {expected}",
                hint=f"for example {flag} {example}",
            )
