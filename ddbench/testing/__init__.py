"""Tests of parts for plug-in authors: tiny stand-ins for what ddbench hands over, and conformance.

A part's own test is two lines: `from ddbench.testing import check_part`, then
`assert check_part("matcher", "energy", Energy()) == []`. `ddbench check PACKAGE` runs the same
checks over all parts of an installed package, and ddbench's tests run them over all built-in parts.

Imports `training` and what lies below it; nothing of ddbench but the command line imports it.
"""

from ddbench.testing.fakes import (
    TinyProblem,
    collect,
    tiny_batch,
    tiny_images,
    tiny_info,
    tiny_network,
    tiny_real,
    tiny_step,
    tiny_trial,
)
from ddbench.testing.suite import PartReport, Report, check_part, check_plugin

__all__ = [
    "check_part",
    "check_plugin",
    "Report",
    "PartReport",
    "tiny_info",
    "tiny_images",
    "tiny_real",
    "tiny_network",
    "tiny_step",
    "tiny_batch",
    "tiny_trial",
    "TinyProblem",
    "collect",
]
