"""ddbench: a plug-in based benchmark harness for dataset distillation.

This module imports `ddbench.api` alone, the rest when it is asked for: `import ddbench` loads
neither torch nor any plug-in. What a folder may import stands in its `__init__.py` and, checked by
machine, in `.importlinter`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ddbench.api.hooks import hookimpl

if TYPE_CHECKING:
    from ddbench.reporting.frame import results

__all__ = ["hookimpl", "results"]
__version__ = "0.1.0"
_LAZY = {"results": "ddbench.reporting.frame"}
"""Functions for Python, and the modules that they are imported from when they are first used."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
