"""The frozen protocols, one TOML file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ddbench import hookimpl
from ddbench.api.recipe import Protocol
from ddbench.api.types import DatasetInfo
from ddbench.config.protocols import read_protocol


@hookimpl
def ddbench_protocols() -> Mapping[str, Callable[[DatasetInfo], Protocol]]:
    files = sorted(Path(__file__).parent.glob("*.toml"))
    return {path.stem: partial(read_protocol, path) for path in files}
