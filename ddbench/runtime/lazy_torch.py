"""`import torch` that costs nothing until torch is used: most commands only plan, list or tabulate.

The command line installs it, so that plug-ins may import torch at the top as anybody does. Loading
takes seconds, and happens at the first attribute that is asked for: `torch.ones`,
`from torch import nn`, `import torch.nn`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

NAME = "torch"
_LOADING = threading.RLock()


def defer_torch() -> None:
    """Has the first `import torch` defer it from here on, unless it is loaded already.

    An absent torch fails where it is imported, as always; a broken one where it is first used.
    """
    installed = any(isinstance(finder, _Finder) for finder in sys.meta_path)
    if NAME not in sys.modules and not installed:
        sys.meta_path.insert(0, _Finder())


class _Deferred(ModuleType):
    """A module that runs its code when it is asked for what it does not have yet.

    `importlib.util.LazyLoader` would do, but that it loads at the second import, which looks at
    `__spec__`.
    """

    def __getattr__(self, name: str) -> Any:
        with _LOADING:  # other threads wait until it is whole
            loader = self.__spec__ and self.__spec__.loader
            if isinstance(loader, _Postponed):
                loader.load(self)
            elif type(self) is _Deferred:  # its own code looks ahead, while it is being run
                raise AttributeError(f"module '{NAME}' has no attribute '{name}' yet")
        return getattr(self, name)


class _Finder(MetaPathFinder):
    """A finder of one module that finds it as Python would, and postpones it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == NAME else None
        if spec is None or spec.loader is None:
            return None
        spec.loader = _Postponed(spec.loader)
        return spec


class _Postponed(Loader):
    """A stand-in for a module's loader until the module is used."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> None:
        """Leaves it to Python to create a plain module."""

    def exec_module(self, module: ModuleType) -> None:
        """Takes its path away: the import of a submodule asks for that, and loads the module."""
        del module.__path__
        module.__class__ = _Deferred

    def load(self, module: ModuleType) -> None:
        """Runs the module's code; after a failure it is as before, and may be tried again."""
        spec = module.__spec__
        assert spec is not None
        assert spec.submodule_search_locations is not None
        module.__path__ = spec.submodule_search_locations
        spec.loader = module.__loader__ = self._loader
        try:
            self._loader.exec_module(module)
        except BaseException:
            spec.loader = module.__loader__ = self
            self.exec_module(module)
            raise
        kind: type = type(module)
        if kind is _Deferred:  # its code may have given it another class
            module.__class__ = ModuleType
