"""A finished row, run again from its record: is the record whole, and does its result hold?

Imports `config`, `pipeline` and what lies below them, and the tables of `ddbench.reporting`.
"""

from __future__ import annotations

from ddbench.reporting.reproduce.faults import AlteredError, find_faults, refuse_altered
from ddbench.reporting.reproduce.recorded import plan_here, rebuild_cell
from ddbench.reporting.reproduce.verdict import Verdict, judge

__all__ = [
    "AlteredError",
    "Verdict",
    "find_faults",
    "judge",
    "plan_here",
    "rebuild_cell",
    "refuse_altered",
]
