"""ddbench: a plug-in based benchmark harness for dataset distillation.

Importing this package loads neither torch nor any plug-in.
"""

from ddbench.api.hooks import hookimpl

__all__ = ["hookimpl"]
__version__ = "0.1.0"
