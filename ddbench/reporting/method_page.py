"""The page of a method, in Markdown, made of nothing but its recipe and the recipe's card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ddbench.api.recipe import Recipe
from ddbench.api.types import DatasetInfo
from ddbench.registry import Registry
from ddbench.reporting.tables.row_names import flatten_options
from ddbench.store.keys import spell

_IMAGENET = (0.229, 0.224, 0.225)
PLACES = (
    ("digits", 8, 10, (0.3764,)),
    ("cifar10", 32, 10, (0.2023, 0.1994, 0.2010)),
    ("cifar100", 32, 100, (0.2673, 0.2564, 0.2762)),
    ("imagenette@64", 64, 10, _IMAGENET),
    ("tiny_imagenet", 64, 200, _IMAGENET),
    ("tiny_imagenet@224", 224, 200, _IMAGENET),
    ("imagenette", 224, 10, _IMAGENET),
    ("imagenet1k", 224, 1000, _IMAGENET),
)
"""Data sets whose settings a page shows, as far as a recipe looks at them: name, pixels, classes,
deviation of the channels. Their images need not be there."""
IPC = (1, 10, 50)
TEMPLATES = Path(__file__).parent / "templates"


def render_method_page(name: str, registry: Registry) -> str:
    """Renders a method's page: objective, parts, settings by data set and IPC, figures, notes.

    Raises:
        DDBenchError: nobody provides the method.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    make = registry.get("recipe", name)
    places = [(info, ipc) for info in map(_describe, PLACES) for ipc in IPC]
    recipes: list[Recipe] = [make(info, ipc) for info, ipc in places]
    options = [_list_options(recipe) for recipe in recipes]
    names = list(dict.fromkeys(name for row in options for name in row))
    varying = [n for n in names if len({row.get(n, "") for row in options}) > 1]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("method.md").render(
        recipe=recipes[0],
        card=recipes[0].card,
        summary=_read_summary(make),
        parts=list(_list_parts(recipes[0])),
        same=[f"`{n}={options[0][n]}`" for n in names if n not in varying],
        varying=[f"`{n}`" for n in varying],
        settings=_group_places(places, [[row.get(n, "") for n in varying] for row in options]),
    )


def _describe(place: tuple[str, int, int, tuple[float, ...]]) -> DatasetInfo:
    """Describes a data set of which only the outside is known."""
    name, pixels, classes, std = place
    return DatasetInfo(
        name=name,
        classes=tuple(f"class{number}" for number in range(classes)),
        shape=(len(std), pixels, pixels),
        mean=(0.5,) * len(std),
        std=std,
        train_counts=(500,) * classes,
        test_counts=(100,) * classes,
        fingerprint="none",
    )


def _list_parts(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """Yields role, name and summary of every part."""
    parts: list[tuple[str, Any]] = [("distiller", recipe.distiller)]
    for kind, terms in (("matcher", recipe.matchers), ("regularizer", recipe.regularizers)):
        parts += [(f"{kind}, weight {term.weight:g}", term.part) for term in terms]
    for role, part in (*parts, ("labeller", recipe.labeller)):
        yield role, f"`{type(part).__name__}`", _read_summary(type(part))


def _read_summary(documented: Any) -> str:
    """Returns the first line of a docstring, or nothing."""
    return next(iter((documented.__doc__ or "").strip().splitlines()), "")


def _group_places(
    places: Sequence[tuple[DatasetInfo, int]], values: Sequence[Sequence[str]]
) -> list[tuple[str, ...]]:
    """Returns a row for every combination of values, with its data sets and IPC in front.

    `cifar10 1, 10; cifar100 1`; a data set stands alone where all IPC have the values.
    """
    rows: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for (info, ipc), row in zip(places, values, strict=True):
        rows.setdefault(tuple(row), {}).setdefault(info.name, []).append(str(ipc))
    return [
        (
            "; ".join(
                name if len(ipcs) == len(IPC) else f"{name} {', '.join(ipcs)}"
                for name, ipcs in by_name.items()
            ),
            *row,
        )
        for row, by_name in rows.items()
    ]


def _list_options(recipe: Recipe) -> dict[str, str]:
    """Returns every option of the loop and the losses, by the path that `--set` takes."""
    options = _spell_fields(recipe.distiller, "recover")
    for kind, terms in (("matcher", recipe.matchers), ("regularizer", recipe.regularizers)):
        for term in terms:
            path = kind if len(terms) == 1 else f"{kind}.{term.name}"
            options |= {f"{path}.weight": f"{term.weight:g}", **_spell_fields(term.part, path)}
    return options | _spell_fields(recipe.labeller, "relabel")


def _spell_fields(part: Any, path: str) -> dict[str, str]:
    options = flatten_options(spell(part), path)
    return {name: text or '""' for name, text in options.items() if name != path}
