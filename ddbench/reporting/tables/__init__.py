"""Records -> the tables that they have in them.

Imports `store` and `api` alone, never torch: a table of finished records is there at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ddbench.api.record import Record
from ddbench.reporting.tables.ablation import ablation_matrix, factor_tests
from ddbench.reporting.tables.aggregate import gather
from ddbench.reporting.tables.average_ranks import Ranking, average_ranks, ranking_of
from ddbench.reporting.tables.leaderboard import leaderboard
from ddbench.reporting.tables.pivots import across_ipc, across_regimes, across_students
from ddbench.reporting.tables.robust_scores import robust_scores
from ddbench.reporting.tables.row_names import labelled
from ddbench.reporting.tables.significance import certainty, paired_tests
from ddbench.reporting.tables.views import View

__all__ = ["View", "average_ranking", "certainty_views", "choose_views"]


def choose_views(records: Iterable[Record], asked: Collection[str] | None = ()) -> list[View]:
    """The leaderboard, then a table for each thing that varies; nothing of no records.

    Several students make a table across architectures, several numbers of images per class one
    across these, several labels or student trainings one across these and, where the reference rows
    are there, robust scores, and variants a matrix of matchers and regularizers with paired tests.

    Args:
        records: Of any cells.
        asked: Metrics that the leaderboard shows however few rows have them; None for all.
    """
    entries = labelled(gather(records))
    if not entries:
        return []
    makers = (
        across_students, across_ipc, across_regimes, robust_scores, ablation_matrix, factor_tests,
    )  # fmt: skip
    found = [make(entries) for make in makers]
    return [leaderboard(entries, asked), *(view for view in found if view is not None)]


def certainty_views(records: Iterable[Record]) -> list[View]:
    """Intervals and ranks of every row, all paired tests, average ranks over cells."""
    entries = labelled(gather(records))
    found = [make(entries) for make in (certainty, paired_tests, average_ranks)]
    return [view for view in found if view is not None]


def average_ranking(records: Iterable[Record]) -> Ranking | None:
    """What `average_ranks` shows, for drawing; None for fewer than two methods or cells."""
    return ranking_of(labelled(gather(records)))
