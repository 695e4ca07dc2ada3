"""Build hook: a wheel remembers the commit it was built from, so that its records can name it."""

from __future__ import annotations

import json
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WRITTEN = "ddbench/built_from.json"


class BuildCommit(BuildHookInterface):
    """Adds commit and dirty flag to a build from a checkout; an unpacked archive has its own."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        package = Path(self.root, "ddbench").resolve()
        # By path: the environment that builds has none of ddbench's dependencies.
        environment = runpy.run_path(str(package / "runtime" / "environment.py"))
        state = environment["read_source_state"](package)
        if version == "editable" or state["commit"] is None or Path(self.root, WRITTEN).exists():
            return
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name, "built_from.json")
        path.write_text(json.dumps(state))
        build_data["force_include"][str(path)] = WRITTEN

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if folder := getattr(self, "_folder", None):
            folder.cleanup()
