"""The frozen protocols, one TOML file each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ddbench import hookimpl


@hookimpl
def ddbench_protocols() -> Mapping[str, Path]:
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}
