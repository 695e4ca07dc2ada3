"""The page of a method, in Markdown, made of nothing but its recipe and the recipe's card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ddbench.api.card import MethodCard
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


def render_method_page(name: str, registry: Registry) -> str:
    """Renders a method's page: objective, parts, settings by data set and IPC, figures, notes.

    Raises:
        DDBenchError: nobody provides the method.
    """
    make = registry.get("recipe", name)
    recipes = [(info, ipc, make(info, ipc)) for info in map(_describe, PLACES) for ipc in IPC]
    recipe: Recipe = recipes[0][2]
    summary = (make.__doc__ or "").strip().splitlines()
    card = recipe.card
    lines = [f"# {card.title} (`{recipe.name}`)", "", *summary[:1], ""]
    if card.reference:
        lines += [f"{card.reference}.", ""]
    if card.venue or card.code:
        row = (card.venue, str(card.year or ""), card.arxiv, card.code)
        lines += [*_draw_table(("venue", "year", "arXiv", "code"), [row]), ""]
    if card.objective:
        lines += ["## Objective", "", f"    {card.objective}", ""]
    lines += ["## Parts", "", *_list_parts(recipe), ""]
    lines += ["## Settings", "", *_list_settings(recipes), ""]
    if card.provenance:
        rows = [(p.settings, p.source) for p in card.provenance]
        lines += [*_draw_table(("settings", "from"), rows), ""]
    if card.claims:
        lines += ["## Published figures", "", *_list_claims(card), ""]
    if card.notes:
        lines += ["## Notes", "", *(f"- {note}" for note in card.notes), ""]
    if card.licence:
        lines += ["## Licence", "", card.licence, ""]
    if card.bibtex:
        lines += ["## BibTeX", "", "```bibtex", card.bibtex.strip(), "```", ""]
    lines += ["## Run it", "", "```console", *_list_commands(recipe), "```"]
    return "\n".join(lines) + "\n"


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


def _list_parts(recipe: Recipe) -> Iterator[str]:
    def row(role: str, part: Any) -> tuple[str, str, str]:
        lines = (type(part).__doc__ or "").strip().splitlines()
        return role, f"`{type(part).__name__}`", lines[0] if lines else ""

    rows = [row("distiller", recipe.distiller)]
    for kind, terms in (("matcher", recipe.matchers), ("regularizer", recipe.regularizers)):
        rows += [row(f"{kind}, weight {term.weight:g}", term.part) for term in terms]
    rows.append(row("labeller", recipe.labeller))
    yield from _draw_table(("role", "part", "what it does"), rows)


def _list_settings(recipes: Sequence[tuple[DatasetInfo, int, Recipe]]) -> Iterator[str]:
    """Yields options that are the same everywhere, then those that data sets and IPC change."""
    options = [_list_options(recipe) for _, _, recipe in recipes]
    names = list(dict.fromkeys(name for row in options for name in row))
    varying = [n for n in names if len({row.get(n, "") for row in options}) > 1]
    same = [f"`{n}={options[0][n]}`" for n in names if n not in varying]
    yield "Everywhere: " + (", ".join(same) if same else "nothing") + "."
    if not varying:
        return
    yield ""
    settings: dict[tuple[str, ...], list[str]] = {}
    for (info, ipc, _), row in zip(recipes, options, strict=True):
        places = settings.setdefault(tuple(row.get(name, "") for name in varying), [])
        places.append(f"{info.name} {ipc}")
    rows = [(_group_by_name(places), *values) for values, places in settings.items()]
    yield from _draw_table(("data set and IPC", *(f"`{name}`" for name in varying)), rows)


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


def _group_by_name(places: Sequence[str]) -> str:
    """Returns data sets with their IPC, each data set once: `cifar10 1, 10; cifar100 1`."""
    by_name: dict[str, list[str]] = {}
    for place in places:
        name, _, ipc = place.rpartition(" ")
        by_name.setdefault(name, []).append(ipc)
    return "; ".join(
        name if len(ipcs) == len(IPC) else f"{name} {', '.join(ipcs)}"
        for name, ipcs in by_name.items()
    )


def _list_claims(card: MethodCard) -> Iterator[str]:
    rows = [
        (
            claim.dataset,
            str(claim.ipc),
            claim.student or "not said",
            f"{claim.value:g}" + ("" if claim.sd is None else f" ± {claim.sd:g}"),
            claim.source,
            claim.setting,
        )
        for claim in card.claims
    ]
    yield "Claims of the papers, measured under their own protocols, not here."
    yield ""
    yield from _draw_table(("data set", "IPC", "student", "top-1 %", "source", "setting"), rows)


def _list_commands(recipe: Recipe) -> Iterator[str]:
    yield f"$ ddbench run --method {recipe.name}"
    for name in recipe.profiles:
        yield f"$ ddbench run --method {recipe.name} --profile {name}"


def _draw_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---' for _ in heads)} |"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '∣') for cell in row)} |"
