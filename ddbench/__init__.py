"""ddbench: a plug-in based benchmark harness for dataset distillation.

This module imports `ddbench.api` alone, the rest when it is asked for: `import ddbench` loads
neither torch nor any plug-in. What a folder may import stands in its `__init__.py` and, checked by
machine, in `.importlinter`.
"""

from ddbench.api.hooks import hookimpl

__all__ = ["hookimpl"]
__version__ = "0.1.0"
