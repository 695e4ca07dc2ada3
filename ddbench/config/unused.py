"""Says what the user set and no row of the grid reads: nothing is ignored in silence."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ddbench.api.errors import DDBenchError, DDBenchWarning
from ddbench.api.roles import Statistic
from ddbench.api.types import DatasetInfo
from ddbench.config.overrides import apply
from ddbench.pipeline.cell import Cell
from ddbench.pipeline.plan import plan
from ddbench.pipeline.specs import RecoverAnew

_OF_TEACHERS = ("squeeze", "label_squeeze", "teacher")
"""Roots of options that a cell without a trained teacher has no use for."""


@dataclass(slots=True)
class Readers:
    """What of the user's options and teachers the rows seen so far read."""

    extra: tuple[Statistic, ...] = ()
    """Statistics that evaluators want: they may be all that a teacher is trained for."""
    options: dict[str, bool] = field(default_factory=dict)
    """Path -> whether a row reads it."""
    teachers: dict[str, dict[str, bool]] = field(default_factory=dict)
    """What `--teacher` named -> each of its networks -> whether a row reads it."""
    rows: dict[tuple[str, str], None] = field(default_factory=dict)
    """Methods and labels."""

    def look_at(
        self, bare: Cell, told: Mapping[str, str], watched: Iterable[str], info: DatasetInfo
    ) -> None:
        """Notes which options bear on a row.

        Args:
            bare: The row's cell as its recipe has it.
            told: All options that it is given.
            watched: The paths of those that somebody asked for.
            info: Its data set.
        """
        self._note(bare)
        for path in watched:
            if not self.options.get(path):
                self.options[path] = _reads(bare, told, path, info, self.extra)

    def look_at_teachers(self, asked: str, cell: Cell, info: DatasetInfo) -> None:
        """Notes which of the networks of `a+b` a row reads."""
        self._note(cell)
        known = self.teachers.setdefault(
            asked, dict.fromkeys((name.strip() for name in asked.split("+")), False)
        )
        if all(known.values()):
            return
        made = plan(cell, info, self.extra)
        read = {t.architecture.name for t in (*made.teachers, *made.labelling)}
        # Fresh networks are of the teacher's architecture; a protocol that holds images out asks
        # whether it is the student's.
        if isinstance(made.recover.spec, RecoverAnew) or cell.protocol.holdout:
            read.add(cell.teacher.name)
        known.update((name, True) for name in known if name in read)

    def _note(self, cell: Cell) -> None:
        self.rows.setdefault((cell.method, cell.labels))

    def report(self) -> None:
        """Nothing where every option and teacher is read by at least one row; else a warning.

        A script that hands the same settings to every method shall run. But of an ensemble every
        network is meant.

        Raises:
            DDBenchError: of several teachers some are read by no row.
        """
        for path, is_read in self.options.items():
            if not is_read:
                self._warn(f"--set {path}", _reason(path))
        for asked, networks in self.teachers.items():
            unread = [name for name, is_read in networks.items() if not is_read]
            if unread and len(networks) == 1:
                self._warn(f"--teacher {asked}", "no teacher is trained and no labels ask one")
            elif unread:
                kept = "+".join(name for name in networks if name not in unread)
                raise DDBenchError(
                    f"--teacher {asked} changes nothing by {' and '.join(unread)}: no row reads "
                    f"{'it' if len(unread) == 1 else 'them'}",
                    f"rows: {self._shown()}",
                    "several teachers are read by methods with matchers and regularizers, and by "
                    "labels that ask them",
                    hint=f"--teacher {kept}" if kept else "leave --teacher out",
                )

    def _warn(self, given: str, reason: str) -> None:
        warnings.warn(
            f"{given} changes nothing: no row reads it ({self._shown()}); {reason}",
            DDBenchWarning,
            stacklevel=3,
        )

    def _shown(self) -> str:
        return ", ".join(f"{method}, labels {labels}" for method, labels in self.rows)


def _reads(
    bare: Cell, told: Mapping[str, str], path: str, info: DatasetInfo, extra: tuple[Statistic, ...]
) -> bool:
    """Whether a cell would be another one without the option, or the option says what holds."""
    others = {other: text for other, text in told.items() if other != path}
    given, without = (replace(apply(bare, options), overrides={}) for options in (told, others))
    if given == without:
        return True
    keys, others_keys = (
        {
            stage.key
            for stage in plan(cell, info, extra).stages()
            # Its key knows whether student and teacher differ, which protocols that hold images out
            # ask for; others train alike. Whatever else a teacher decides is in earlier stages.
            if stage.stage != "evaluate" or not path.startswith("teacher.") or cell.protocol.holdout
        }
        for cell in (given, without)
    )
    return keys != others_keys


def _reason(path: str) -> str:
    if path.partition(".")[0] in _OF_TEACHERS:
        return "no teacher is trained that it could bear on"
    if path.startswith("evaluate.holdout"):
        return "distilled images are held out where student and teacher are different networks"
    return "every stage has the same key without it"
