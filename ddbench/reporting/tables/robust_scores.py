"""What is left of a method when labels and augmentation are taken out: robust scores."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ddbench.api.record import Record
from ddbench.reporting.tables.aggregate import Entry, Setting, same_terms
from ddbench.reporting.tables.cells import NOTHING, Surroundings
from ddbench.reporting.tables.formatting import signed
from ddbench.reporting.tables.leaderboard import comparable, kind_of
from ddbench.reporting.tables.row_names import Headings
from ddbench.reporting.tables.statistics import Summary, summarize
from ddbench.reporting.tables.views import Cell, Column, Notes, Row, Section, View

SOURCE = "Li et al., DD-Ranking, 2025, arXiv:2505.13300"
WEIGHT = 0.5
"""Of the gain over random images; DD-Ranking's own choice."""
HARD = "hard"
"""The labels that ask no teacher."""
FULL = "full"
"""The method that keeps every real image."""


def label_robust(
    *, full_hard: float, made_hard: float, made_any: float, random_any: float,
    weight: float = WEIGHT,
) -> float:  # fmt: skip
    """LRS = (e^α − e⁻¹) / (e − e⁻¹) with α = w·IOR − (1 − w)·HLR, in [0, 1].

    HLR = full_hard − made_hard is what hard labels lose against the whole data set,
    IOR = made_any − random_any what the images gain over random ones under the same labels.

    Args:
        full_hard: Accuracy, from 0 to 1, of all real images under hard labels.
        made_hard: Of the distilled images under hard labels.
        made_any: Of the distilled images under the labels that are judged.
        random_any: Of random images, as many, under these labels.
        weight: w, from 0 to 1.

    Raises:
        ValueError: an accuracy or the weight is not in [0, 1]: percents, say.
    """
    _check(full_hard, made_hard, made_any, random_any, weight)
    return _from_0_to_1(weight * (made_any - random_any) - (1 - weight) * (full_hard - made_hard))


def augmentation_robust(
    *, made_augmented: float, random_augmented: float, made_plain: float, random_plain: float,
    weight: float = WEIGHT,
) -> float:  # fmt: skip
    """ARS, of the same form with β = γ·(gain with augmentation) + (1 − γ)·(gain without).

    Args:
        made_augmented: Accuracy, from 0 to 1, of the distilled images with augmentation.
        random_augmented: Of random images, as many, with augmentation.
        made_plain: Of the distilled images without augmentation.
        random_plain: Of random images without augmentation.
        weight: γ, from 0 to 1.

    Raises:
        ValueError: an accuracy or the weight is not in [0, 1].
    """
    _check(made_augmented, random_augmented, made_plain, random_plain, weight)
    gains = made_augmented - random_augmented, made_plain - random_plain
    return _from_0_to_1(weight * gains[0] + (1 - weight) * gains[1])


def _from_0_to_1(balance: float) -> float:
    """(e^a − e⁻¹) / (e − e⁻¹) = (e^(a + 1) − 1) / (e² − 1): 0 at −1, 0.269 at 0, 1 at 1."""
    exact = max(-1.0, min(1.0, balance))  # rounding may step over the border
    return math.expm1(exact + 1) / math.expm1(2)


def _check(*fractions: float) -> None:
    for value in fractions:
        if not 0 <= value <= 1:
            raise ValueError(f"{value:g} is not a fraction from 0 to 1")


@dataclass(frozen=True)
class Scores:
    """Of one entry; a part is None where a row that it needs is missing."""

    entry: Entry
    setting: Setting
    recovery: Summary | None
    """HLR, in points."""
    improvement: Summary | None
    """IOR, in points."""
    label: Summary | None
    augmentation: Summary | None


def robust_scores(entries: Sequence[Entry]) -> View | None:
    """A row per method and labels, best label-robust score first; None without what it needs."""
    grouped = comparable(entries)
    scored = [
        scores for setting, members in grouped.items() for entry in members
        if entry.setting.ipc is not None
        and (scores := _scores(entry, setting, grouped)) is not None
    ]  # fmt: skip
    if not scored:
        return None
    headings = Headings(s.setting for s in scored)
    sections: dict[str, list[Scores]] = {}
    for found in scored:
        sections.setdefault(headings.section(found.setting), []).append(found)
    columns = (
        Column(name="method", align="left"), Column(name="HLR ↓", unit="points"),
        Column(name="IOR ↑", unit="points"), Column(name="LRS ↑"), Column(name="ARS ↑"),
    )  # fmt: skip
    return View(
        title=headings.title("Robust scores"),
        subtitle=headings.subtitle(),
        columns=columns,
        sections=tuple(
            Section(title=title, rows=tuple(_row(s) for s in sorted(found, key=_place)))
            for title, found in sections.items()
        ),
        remarks=(
            f"LRS and ARS: label-robust and augmentation-robust score ({SOURCE}), from 0 to 1, "
            "0.269 for no gain and no loss; accuracies as fractions, both weights 0.5.",
            "HLR: full data minus the row, both under hard labels and the row's own training. "
            "IOR: the row minus random images under its labels. ARS weighs IOR with and without "
            "augmentation. Random images have IOR 0.",
        ),
    )


def _place(found: Scores) -> tuple[object, ...]:
    best = found.label or found.augmentation
    return found.entry.baseline, -(best.mean if best else 0.0), found.entry.label


def _row(found: Scores) -> Row:
    def cell(summary: Summary | None, name: str, points: bool) -> Cell:
        if summary is None:
            return NOTHING
        mean = signed(summary.mean) if points else f"{summary.mean:.3f}"
        sd = "" if summary.sd is None else f" ± {summary.sd:.{1 if points else 3}f}"
        numbers = {f"{name}_mean": summary.mean, f"{name}_sd": summary.sd, f"{name}_n": summary.n}
        return Cell(text=mean + sd, brief=mean, numbers=numbers)

    return Row(
        cells=(
            Cell(text=found.entry.label),
            cell(found.recovery, "hard_label_recovery", True),
            cell(found.improvement, "improvement_over_random", True),
            cell(found.label, "label_robust_score", False),
            cell(found.augmentation, "augmentation_robust_score", False),
        ),
        facts={**found.setting._asdict(), "label": found.entry.label},
        kind=kind_of(found.entry),
    )


def _scores(
    entry: Entry, setting: Setting, grouped: Mapping[Setting, Sequence[Entry]]
) -> Scores | None:
    made, rival = _fractions(entry), _fractions(_rival(entry, grouped.get(setting, ())))
    under_hard = grouped.get(setting._replace(labels=HARD), ())
    # Full data has few seeds: one accuracy for all, that of their mean.
    hard = _named(entry.label, under_hard)
    full = list(_fractions(None if hard is None else _full(under_hard, hard)).values())
    whole = fmean(full) if full else None
    made_hard = _fractions(hard)
    label = [
        label_robust(full_hard=whole, made_hard=made_hard[s], made_any=made[s], random_any=rival[s])
        for s in _shared(made, rival, made_hard) if whole is not None
    ]  # fmt: skip
    plain = _without_augmentation(entry, setting, grouped)
    augmentation = _augmentation(made, rival, plain)
    if not label and not augmentation:
        return None
    return Scores(
        entry=entry,
        setting=setting,
        recovery=None
        if whole is None
        else summarize(100 * (whole - v) for v in made_hard.values()),
        improvement=summarize(100 * (made[s] - rival[s]) for s in _shared(made, rival)),
        label=summarize(label),
        augmentation=summarize(augmentation),
    )


def _augmentation(
    made: Mapping[int, float], rival: Mapping[int, float], plain: tuple[Any, Any] | None
) -> list[float]:
    if plain is None:
        return []
    made_plain, rival_plain = plain
    return [
        augmentation_robust(
            made_augmented=made[s], random_augmented=rival[s],
            made_plain=made_plain[s], random_plain=rival_plain[s],
        )
        for s in _shared(made, rival, made_plain, rival_plain)
    ]  # fmt: skip


def _shared(*by_seed: Mapping[int, float]) -> list[int]:
    return sorted(set.intersection(*(set(found) for found in by_seed)))


def _fractions(entry: Entry | None) -> dict[int, float]:
    if entry is None:
        return {}
    return {seed: top1 / 100 for seed, top1 in entry.by_seed("top1").items()}


def _named(label: str, members: Sequence[Entry]) -> Entry | None:
    return next((e for e in members if e.label == label and e.setting.ipc is not None), None)


def _rival(entry: Entry, members: Sequence[Entry]) -> Entry | None:
    return Surroundings(entries=members, notes=Notes()).rival(entry)


def _full(members: Sequence[Entry], hard: Entry) -> Entry | None:
    """All images under the training of the row: options may differ under one protocol's name."""
    return next(
        (e for e in members if e.first.method == FULL and e.finished and same_terms(e, hard)), None
    )


# -- augmentation ----------------------------------------------------------------------------------


def _without_augmentation(
    entry: Entry, setting: Setting, grouped: Mapping[Setting, Sequence[Entry]]
) -> tuple[dict[int, float], dict[int, float]] | None:
    """The same method, and random images, under a training that lacks nothing but augmentation."""
    if _is_plain(entry.first) is not False:
        return None
    for other, members in grouped.items():
        if other._replace(protocol=setting.protocol) != setting or other == setting:
            continue
        twin = _named(entry.label, members)
        if twin is None or not _is_plain(twin.first):
            continue
        if _training(twin.first) == _training(entry.first):
            return _fractions(twin), _fractions(_rival(twin, members))
    return None


def _protocol(record: Record) -> dict[str, Any]:
    """Its fields, as `ddbench.store.keys.spell` wrote them: a part is `[name, {field: value}]`."""
    spelt = record.configuration.get("protocol")
    return dict(spelt[1]) if isinstance(spelt, list) else {}


def _is_plain(record: Record) -> bool | None:
    """Whether students see the images as they are; None where the record does not say."""
    training = _protocol(record).get("training")
    if not isinstance(training, list):
        return None
    how = training[1]["augmentation"][1]
    varied = how["flip"] or how["mix"] != "none" or how.get("one_of")
    return not varied and list(how["crop"]) == [1, 1]


def _training(record: Record) -> str:
    """All of the protocol but its name and its augmentation."""
    fields = {k: v for k, v in _protocol(record).items() if k not in ("name", "training")}
    kept = {k: v for k, v in _protocol(record)["training"][1].items() if k != "augmentation"}
    return json.dumps([fields, kept], sort_keys=True)
