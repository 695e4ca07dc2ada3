"""A finished row, run again from its record: is the record whole, and does its result hold?

Imports `config`, `pipeline` and what lies below them, and the tables of `ddbench.reporting`.
"""

from __future__ import annotations

from ddbench.reporting.reproduce.faults import AlteredError, faults_of, refuse_altered
from ddbench.reporting.reproduce.recorded import cell_of, plan_of
from ddbench.reporting.reproduce.verdict import Verdict, judge

__all__ = [
    "AlteredError", "Verdict", "cell_of", "faults_of", "judge", "plan_of", "refuse_altered",
]  # fmt: skip
