"""What the user asked for -> cells, with the reference rows that every leaderboard carries."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TypeAlias

from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import Claim, NamedArchitecture, Protocol, Recipe
from ddbench.api.roles import Statistic
from ddbench.api.types import DatasetInfo
from ddbench.config.overrides import apply
from ddbench.config.profiles import Profile
from ddbench.config.rows import (
    all_recipes,
    composed,
    composed_name,
    find_teachers,
    recipe_of,
    relabelled,
    with_claims,
)
from ddbench.config.unused import Readers
from ddbench.data.description import NamedDataset, describe, find_dataset
from ddbench.pipeline.cell import Cell
from ddbench.pipeline.plan import Plan, plan
from ddbench.registry import Registry
from ddbench.runtime.context import Precision

DEFAULT_IPC = 10
"""Where a data set does not name its own `default_ipc`."""
DEFAULT_TEACHER = "resnet18"
"""Where neither the user nor the recipe names one."""
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
    teachers: tuple[str, ...] = ()
    """Without any, each recipe's own, or the default."""
    labels: tuple[str, ...] = ()
    """Labellers instead of the recipe's."""
    protocols: tuple[str, ...] = ("ddbench-v1",)
    seeds: int = 3
    seed: int = 0
    runs: int = 1
    """Students trained on each distilled set."""
    holdout: float = 0.0
    reference: bool = True
    """Whether the reference rows are added."""
    assignments: Mapping[str, str] = field(default_factory=dict)
    assignments_for: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Options of the cells of one method."""
    profile: Profile = field(default_factory=Profile)
    variants: tuple[Variant, ...] = ()
    claims: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)
    """Published figures of rows by name; they come before those of the recipes."""
    title: str = ""
    precision: Precision = "fp32"


def expand(
    selection: Selection,
    registry: Registry,
    root: Path | None,
    extra: tuple[Statistic, ...] = (),
    *,
    tell_unread: bool = True,
) -> list[Plan]:
    """The plans of every cell, reference rows last, each once.

    Args:
        selection: What was asked for.
        registry: The parts that there are.
        root: Folder of the data sets.
        extra: Statistics that evaluators want.
        tell_unread: Whether to warn of options and teachers that no row reads.

    Raises:
        DDBenchError: an unknown name, an option out of range, data that are not there, a variant
            that changes nothing, or an ensemble with a network that no row asks.
    """
    _check_ranges(selection)
    selection = _own_names(selection, registry)
    plans: dict[_Place, Plan] = {}
    references: dict[_Place, Plan] = {}
    readers = Readers(extra)
    for dataset in selection.datasets:
        named = find_dataset(dataset, registry, selection.holdout)
        info = describe(named, root)
        protocols = [registry.get("protocol", name)(info) for name in selection.protocols]
        for ipc in selection.ipcs or (named.part.default_ipc,):
            cells = list(_cells(selection, registry, named, info, ipc, protocols, readers))
            _collect(cells, info, extra, plans)
            for cell in _reference_cells(cells, selection, registry, info):
                made = plan(cell, info, extra)
                references.setdefault(_place(made), made)
    if tell_unread:
        readers.report()
    return [*plans.values(), *(p for place, p in references.items() if place not in plans)]


def _place(made: Plan) -> _Place:
    """A cell once for every table that it stands in: under hard labels random images are the same
    cell beside each teacher."""
    cell = made.cell
    names = (cell.dataset.name, cell.teacher.name, cell.student.name, cell.protocol.name)
    return (made.key, *names)


def _cells(
    selection: Selection,
    registry: Registry,
    named: NamedDataset,
    info: DatasetInfo,
    ipc: int,
    protocols: Sequence[Protocol],
    readers: Readers,
) -> Iterator[Cell]:
    rows = list(_recipes(selection, registry, info, ipc))
    selection.profile.check([recipe for _, recipe, _ in rows])
    _check_terms(selection.assignments, [recipe for _, recipe, _ in rows])
    compared = not all(recipe.baseline for _, recipe, _ in rows)
    for label, plain, changes in rows:
        own = selection.claims.get(label, ())
        recipe = with_claims(plain, (*own, *plain.card.claims))
        for labels in selection.labels or ("",):
            chosen = recipe
            if labels:
                chosen = relabelled(recipe, registry.get("labeller", labels), own)
            for protocol, teacher, student, seed in product(
                protocols,
                selection.teachers or (recipe.teacher or DEFAULT_TEACHER,),
                selection.students,
                range(selection.seed, selection.seed + selection.seeds),
            ):
                first, companions = find_teachers(teacher, recipe, registry)
                cell = Cell(
                    method=label,
                    recipe=chosen,
                    dataset=named,
                    ipc=ipc,
                    teacher=first,
                    companions=companions,
                    student=NamedArchitecture(
                        name=student, part=registry.get("architecture", student)
                    ),
                    protocol=protocol,
                    seed=seed,
                    students=selection.runs,
                    precision=selection.precision,
                    profile=selection.profile.mark(recipe),
                )
                wanted = selection.assignments
                if compared and recipe.baseline:
                    wanted = _bearing_on(cell, wanted)
                sized = recipe.profiles.get(selection.profile.name, {})
                of_method = selection.assignments_for.get(recipe.name, {})
                told = {**sized, **wanted, **of_method, **changes}
                of_profile = selection.profile.options(recipe)
                asked = [path for path in told if of_profile.get(path) != told[path]]
                made = apply(cell, told)
                if seed == selection.seed:  # what the others read is the same
                    readers.look_at(cell, told, asked, info)
                    if selection.teachers:
                        readers.look_at_teachers(teacher, made, info)
                yield made


def _check_terms(assignments: Mapping[str, str], recipes: Sequence[Recipe]) -> None:
    """An option of matchers or regularizers bears on at least one row.

    Raises:
        DDBenchError: no row has any.
    """
    for path in assignments:
        root = path.partition(".")[0]
        if root in ("matcher", "regularizer") and not any(getattr(r, f"{root}s") for r in recipes):
            raise DDBenchError(
                f"--set {path} changes nothing: no row has a {root}",
                f"methods: {', '.join(dict.fromkeys(recipe.name for recipe in recipes))}",
                hint="leave it out",
            )


def _own_names(selection: Selection, registry: Registry) -> Selection:
    """The selection with options of single methods under the methods' own names.

    Raises:
        DDBenchError: there is no such method.
    """

    def renamed(options: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
        for name in options:
            registry.get("recipe", name)
        return {registry.resolve("recipe", name): changes for name, changes in options.items()}

    profile = replace(selection.profile, set_for=renamed(selection.profile.set_for))
    of_method = renamed(selection.assignments_for)
    return replace(selection, assignments_for=of_method, profile=profile)


def _bearing_on(cell: Cell, assignments: Mapping[str, str]) -> dict[str, str]:
    """Without options of the recover loop that a reference row does not have: they bear on the
    rows that it is compared with, which refuse them if they are wrong."""
    fields = {field.name for field in dataclasses.fields(cell.recipe.distiller)}
    return {
        path: text
        for path, text in assignments.items()
        if not path.startswith("recover.") or path.split(".")[1] in fields
    }


def _recipes(
    selection: Selection, registry: Registry, info: DatasetInfo, ipc: int
) -> Iterator[tuple[str, Recipe, Mapping[str, str]]]:
    """Label, recipe and further changes of every row."""
    _refuse_equal_names(selection.variants)
    for variant in selection.variants:
        base = recipe_of(registry, variant.method or selection.methods[0], info, ipc)
        changed = composed(base, variant.matcher, variant.regularizer, registry, info, ipc)
        if variant.set:  # what was published for the method says nothing of it with other options
            changed = with_claims(changed, ())
        yield variant.name or composed_name(changed), changed, variant.set
    if selection.variants:
        return
    for method in selection.methods:
        base = recipe_of(registry, method, info, ipc)
        if not selection.matchers and not selection.regularizers:
            yield registry.resolve("recipe", method), base, {}
            continue
        for matcher, regularizer in product(
            selection.matchers or ("",), selection.regularizers or ("",)
        ):
            changed = composed(base, matcher, regularizer, registry, info, ipc)
            yield composed_name(changed), changed, {}


def _refuse_equal_names(variants: Sequence[Variant]) -> None:
    names = [variant.name for variant in variants if variant.name]
    for name in names:
        if names.count(name) > 1:
            raise DDBenchError(
                f"{names.count(name)} variants are called '{name}'",
                "expected: a name of its own for every row",
                hint="rename one, or leave the names out",
            )


def _reference_cells(
    cells: list[Cell], selection: Selection, registry: Registry, info: DatasetInfo
) -> Iterator[Cell]:
    """Baseline recipes under the labels, protocol and networks of each group of rows."""
    if not selection.reference:
        return
    ipc = cells[0].ipc if cells else None
    for name, recipe in all_recipes(registry, info, ipc):
        for cell in cells if recipe.baseline else ():
            # The teacher must be the very one of the rows that this row is compared with.
            same = replace(
                recipe,
                labeller=cell.recipe.labeller,
                squeeze=cell.recipe.squeeze,
                label_squeeze=cell.recipe.label_squeeze,
            )
            whole = recipe.distiller.counts(info, cell.ipc) == info.train_counts
            beside = replace(
                cell, method=name, recipe=same, ipc=None if whole else cell.ipc,
                profile=selection.profile.mark_of_reference(cell.recipe, same),
            )  # fmt: skip
            yield apply(beside, selection.assignments_for.get(recipe.name, {}))


def _collect(
    cells: list[Cell], info: DatasetInfo, extra: tuple[Statistic, ...], plans: dict[_Place, Plan]
) -> None:
    for cell in cells:
        made = plan(cell, info, extra)
        place = _place(made)
        if place in plans and plans[place].cell.method != cell.method:
            other = plans[place].cell.method
            raise DDBenchError(
                f"'{cell.method}' changes nothing against '{other}'",
                "every stage has the same key",
                hint="remove one of them, or give an option another value",
            )
        plans.setdefault(place, made)


def _check_ranges(selection: Selection) -> None:
    for ipc in selection.ipcs:
        if ipc < 1:
            raise _out_of_range("--ipc", ipc, "1 or more", "1,10")
    for name, value in (("--seeds", selection.seeds), ("--students", selection.runs)):
        if value < 1:
            raise _out_of_range(name, value, "1 or more", "3")
    if not 0 <= selection.holdout < 1:
        raise _out_of_range("--holdout", f"{selection.holdout:g}", "0 to below 1", "0.2")
    if selection.seed < 0:
        raise _out_of_range("--seed", selection.seed, "0 or more", "0")


def _out_of_range(flag: str, value: object, expected: str, example: str) -> DDBenchError:
    return DDBenchError(
        f"{flag} {value} is out of range", f"expected: {expected}",
        hint=f"for example {flag} {example}",
    )  # fmt: skip
