"""Records -> the tables that they have in them."""

from __future__ import annotations

from collections.abc import Iterable

from ddbench.records import Record
from ddbench.tables.ablation import ablation_matrix, factor_tests
from ddbench.tables.aggregate import gather
from ddbench.tables.leaderboard import leaderboard
from ddbench.tables.pivots import across_ipc, across_students
from ddbench.tables.row_names import labelled
from ddbench.tables.views import View

__all__ = ["View", "choose_views"]


def choose_views(records: Iterable[Record]) -> list[View]:
    """The leaderboard, then a table for each thing that varies; nothing of no records.

    Several students make a table across architectures, several numbers of images per class one
    across these, and variants a matrix of matchers and regularizers with paired tests.
    """
    entries = labelled(gather(records))
    if not entries:
        return []
    makers = (across_students, across_ipc, ablation_matrix, factor_tests)
    found = [make(entries) for make in makers]
    return [leaderboard(entries), *(view for view in found if view is not None)]
