"""Records -> the tables that they have in them.

Imports `ddbench.api` alone, never torch: a table of finished records is there at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ddbench.api.record import Record
from ddbench.reporting.tables.ablation import compare_levels, tabulate_factors
from ddbench.reporting.tables.aggregate import gather
from ddbench.reporting.tables.average_ranks import Ranking, rank_entries, tabulate_ranks
from ddbench.reporting.tables.leaderboard import make_leaderboard
from ddbench.reporting.tables.pivots import pivot_ipc, pivot_regimes, pivot_students
from ddbench.reporting.tables.robust_scores import tabulate_robust_scores
from ddbench.reporting.tables.row_names import label_entries
from ddbench.reporting.tables.significance import tabulate_certainty, tabulate_tests
from ddbench.reporting.tables.views import View

__all__ = ["View", "choose_certainty_views", "choose_views", "rank_records"]


def choose_views(records: Iterable[Record], asked: Collection[str] | None = ()) -> list[View]:
    """Makes the leaderboard, and a table for each thing that varies; nothing of no records.

    Several students make a table across architectures, several numbers of images per class one
    across these, several labels or student trainings one across these and, where the reference rows
    are there, robust scores, and variants a matrix of matchers and regularizers with paired tests.

    Args:
        records: Records of any cells.
        asked: Metrics that the leaderboard shows however few rows have them; None for all.
    """
    entries = label_entries(gather(records))
    if not entries:
        return []
    makers = (
        pivot_students,
        pivot_ipc,
        pivot_regimes,
        tabulate_robust_scores,
        tabulate_factors,
        compare_levels,
    )
    views = [make(entries) for make in makers]
    return [make_leaderboard(entries, asked), *(view for view in views if view is not None)]


def choose_certainty_views(records: Iterable[Record]) -> list[View]:
    """Makes tables of intervals and ranks of every row, all paired tests, and average ranks."""
    entries = label_entries(gather(records))
    views = [make(entries) for make in (tabulate_certainty, tabulate_tests, tabulate_ranks)]
    return [view for view in views if view is not None]


def rank_records(records: Iterable[Record]) -> Ranking | None:
    """Ranks methods over cells, for drawing; None for fewer than two methods or cells."""
    return rank_entries(label_entries(gather(records)))
