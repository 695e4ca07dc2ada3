"""DD-Ranking's scores: what is left of a method without its labels and augmentation."""

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
from ddbench.reporting.tables.formatting import format_signed
from ddbench.reporting.tables.leaderboard import group_comparable
from ddbench.reporting.tables.row_names import Headings
from ddbench.reporting.tables.statistics import Summary, summarize
from ddbench.reporting.tables.views import Cell, Column, Notes, Row, Section, View

SOURCE = "Li et al., DD-Ranking, 2025, arXiv:2505.13300"
WEIGHT = 0.5
"""Weight of the gain over random images; DD-Ranking's own choice."""
HARD = "hard"
"""The labels that ask no teacher."""
FULL = "full"
"""The method that keeps every real image."""


def label_robust_score(
    *,
    full_hard: float,
    made_hard: float,
    made_any: float,
    random_any: float,
    weight: float = WEIGHT,
) -> float:
    """Computes LRS = (e^α − e⁻¹) / (e − e⁻¹) with α = w·IOR − (1 − w)·HLR, in [0, 1].

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
    return _scale(weight * (made_any - random_any) - (1 - weight) * (full_hard - made_hard))


def augmentation_robust_score(
    *,
    made_augmented: float,
    random_augmented: float,
    made_plain: float,
    random_plain: float,
    weight: float = WEIGHT,
) -> float:
    """Computes ARS, LRS with β = γ·(gain with augmentation) + (1 − γ)·(gain without) for α.

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
    return _scale(weight * gains[0] + (1 - weight) * gains[1])


def _scale(balance: float) -> float:
    """Computes (e^a − e⁻¹) / (e − e⁻¹), that is (e^(a + 1) − 1) / (e² − 1): 0.269 at a = 0."""
    exact = max(-1.0, min(1.0, balance))  # rounding may step over the border
    return math.expm1(exact + 1) / math.expm1(2)


def _check(*fractions: float) -> None:
    for value in fractions:
        if not 0 <= value <= 1:
            raise ValueError(f"{value:g} is not a fraction from 0 to 1")


# -- the table -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """Scores of one entry; one is None where a row that it needs is missing."""

    entry: Entry
    setting: Setting
    recovery: Summary | None
    """HLR, in points."""
    improvement: Summary | None
    """IOR, in points."""
    label: Summary | None
    augmentation: Summary | None


def tabulate_robust_scores(entries: Sequence[Entry]) -> View | None:
    """Makes a table with a row per method and labels, best label-robust score first.

    None where no row has the others that a score needs.
    """
    grouped = group_comparable(entries)
    scored = [
        scores
        for setting, members in grouped.items()
        for entry in members
        if entry.setting.ipc is not None and (scores := _score(entry, setting, grouped)) is not None
    ]
    if not scored:
        return None
    headings = Headings(s.setting for s in scored)
    sections: dict[str, list[Scores]] = {}
    for scores in scored:
        sections.setdefault(headings.write_section(scores.setting), []).append(scores)
    return View(
        title=headings.write_title("Robust scores"),
        subtitle=headings.write_subtitle(),
        columns=(
            Column(name="method", align="left"),
            Column(name="HLR ↓", unit="points"),
            Column(name="IOR ↑", unit="points"),
            Column(name="LRS ↑"),
            Column(name="ARS ↑"),
        ),
        sections=tuple(
            Section(title=title, rows=tuple(_make_row(s) for s in sorted(members, key=_rank_key)))
            for title, members in sections.items()
        ),
        remarks=(
            f"LRS and ARS: label-robust and augmentation-robust score ({SOURCE}), from 0 to 1, "
            "0.269 for no gain and no loss; accuracies as fractions, both weights 0.5.",
            "HLR: full data minus the row, both under hard labels and the row's own training. "
            "IOR: the row minus random images under its labels. ARS weighs IOR with and without "
            "augmentation. Random images have IOR 0.",
        ),
    )


def _rank_key(scores: Scores) -> tuple[object, ...]:
    best = scores.label or scores.augmentation
    return scores.entry.baseline, -(best.mean if best else 0.0), scores.entry.label


def _make_row(scores: Scores) -> Row:
    def make_cell(summary: Summary | None, name: str, points: bool) -> Cell:
        if summary is None:
            return NOTHING
        mean = format_signed(summary.mean) if points else f"{summary.mean:.3f}"
        sd = "" if summary.sd is None else f" ± {summary.sd:.{1 if points else 3}f}"
        numbers = {f"{name}_mean": summary.mean, f"{name}_sd": summary.sd, f"{name}_n": summary.n}
        return Cell(text=mean + sd, brief=mean, numbers=numbers)

    return Row(
        cells=(
            Cell(text=scores.entry.label),
            make_cell(scores.recovery, "hard_label_recovery", True),
            make_cell(scores.improvement, "improvement_over_random", True),
            make_cell(scores.label, "label_robust_score", False),
            make_cell(scores.augmentation, "augmentation_robust_score", False),
        ),
        facts={**scores.setting._asdict(), "label": scores.entry.label},
        kind=scores.entry.kind,
    )


# -- the rows that a score needs -------------------------------------------------------------------

Accuracies = dict[int, float]
"""Seed -> accuracy from 0 to 1."""


def _score(
    entry: Entry, setting: Setting, grouped: Mapping[Setting, Sequence[Entry]]
) -> Scores | None:
    made, rival = _read(entry), _read(_find_rival(entry, grouped.get(setting, ())))
    under_hard = grouped.get(setting._replace(labels=HARD), ())
    # Full data has few seeds: one accuracy for all, that of their mean.
    hard = _find_named(entry.label, under_hard)
    full = _read(None if hard is None else _find_full(under_hard, hard))
    whole = fmean(full.values()) if full else None
    made_hard = _read(hard)
    label, recovery = [], None
    if whole is not None:
        label = [
            label_robust_score(
                full_hard=whole, made_hard=made_hard[s], made_any=made[s], random_any=rival[s]
            )
            for s in _share(made, rival, made_hard)
        ]
        recovery = summarize(100 * (whole - v) for v in made_hard.values())
    made_plain, rival_plain = _read_plain(entry, setting, grouped)
    augmentation = [
        augmentation_robust_score(
            made_augmented=made[s],
            random_augmented=rival[s],
            made_plain=made_plain[s],
            random_plain=rival_plain[s],
        )
        for s in _share(made, rival, made_plain, rival_plain)
    ]
    if not label and not augmentation:
        return None
    return Scores(
        entry=entry,
        setting=setting,
        recovery=recovery,
        improvement=summarize(100 * (made[s] - rival[s]) for s in _share(made, rival)),
        label=summarize(label),
        augmentation=summarize(augmentation),
    )


def _share(*accuracies: Accuracies) -> list[int]:
    """Returns the seeds that all have."""
    return sorted(set.intersection(*map(set, accuracies)))


def _read(entry: Entry | None) -> Accuracies:
    if entry is None:
        return {}
    return {seed: top1 / 100 for seed, top1 in entry.collect("top1").items()}


def _find_named(label: str, members: Sequence[Entry]) -> Entry | None:
    return next((e for e in members if e.label == label and e.setting.ipc is not None), None)


def _find_rival(entry: Entry, members: Sequence[Entry]) -> Entry | None:
    return Surroundings(entries=members, notes=Notes()).find_rival(entry)


def _find_full(members: Sequence[Entry], hard: Entry) -> Entry | None:
    """Returns all images under a row's training: options may differ under one protocol's name."""
    return next(
        (e for e in members if e.first.method == FULL and e.finished and same_terms(e, hard)), None
    )


def _read_plain(
    entry: Entry, setting: Setting, grouped: Mapping[Setting, Sequence[Entry]]
) -> tuple[Accuracies, Accuracies]:
    """Returns the accuracies of the same method, and of random images, under a training that lacks
    nothing but augmentation; none where there is no such training."""
    if _is_plain(entry.first) is False:
        for other, members in grouped.items():
            if other._replace(protocol=setting.protocol) != setting or other == setting:
                continue
            twin = _find_named(entry.label, members)
            if twin is None or not _is_plain(twin.first):
                continue
            if _spell_training(twin.first) == _spell_training(entry.first):
                return _read(twin), _read(_find_rival(twin, members))
    return {}, {}


def _read_protocol(record: Record) -> dict[str, Any]:
    """Returns a protocol's fields, as `ddbench.store.keys.spell` wrote them."""
    spelt = record.configuration.get("protocol")
    return dict(spelt[1]) if isinstance(spelt, list) else {}


def _is_plain(record: Record) -> bool | None:
    """Tells whether students see the images as they are; None where the record does not say."""
    training = _read_protocol(record).get("training")
    if not isinstance(training, list):
        return None
    how = training[1]["augmentation"][1]
    varied = how["flip"] or how["mix"] != "none" or how.get("one_of")
    return not varied and list(how["crop"]) == [1, 1]


def _spell_training(record: Record) -> str:
    """Returns all of the protocol but its name and its augmentation, as one text."""
    protocol = _read_protocol(record)
    fields = {k: v for k, v in protocol.items() if k not in ("name", "training")}
    kept = {k: v for k, v in protocol["training"][1].items() if k != "augmentation"}
    return json.dumps([fields, kept], sort_keys=True)
