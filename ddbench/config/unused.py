"""Warns of options and teachers that no row of a grid reads: nothing is ignored in silence."""

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
    """Notes, row by row, which of the user's options and teachers are read."""

    extra: tuple[Statistic, ...] = ()
    """Statistics that evaluators want: they may be all that a teacher is trained for."""
    options: dict[str, bool] = field(default_factory=dict)
    """Whether a row reads an option, by its path."""
    teachers: dict[str, dict[str, bool]] = field(default_factory=dict)
    """Whether a row reads a network, by what `--teacher` named and the network's name."""
    rows: dict[tuple[str, str], None] = field(default_factory=dict)
    """Methods and labels of the rows, in order."""

    def note_options(
        self, bare: Cell, options: Mapping[str, str], asked: Iterable[str], info: DatasetInfo
    ) -> None:
        """Notes which options change a row.

        Args:
            bare: The row's cell as its recipe has it.
            options: All options that it is given.
            asked: The paths of those that the user set.
            info: Its data set.
        """
        self.rows.setdefault((bare.method, bare.labels))
        for path in asked:
            if not self.options.get(path):
                self.options[path] = _reads(bare, options, path, info, self.extra)

    def note_teachers(self, asked: str, cell: Cell, info: DatasetInfo) -> None:
        """Notes which of the networks of `a+b` a row reads."""
        self.rows.setdefault((cell.method, cell.labels))
        names = [name.strip() for name in asked.split("+")]
        networks = self.teachers.setdefault(asked, dict.fromkeys(names, False))
        if all(networks.values()):
            return
        planned = plan(cell, info, self.extra)
        read = {t.architecture.name for t in (*planned.teachers, *planned.labelling)}
        # Fresh networks are of the teacher's architecture; a protocol that holds images out asks
        # whether it is the student's.
        if isinstance(planned.recover.spec, RecoverAnew) or cell.protocol.holdout:
            read.add(cell.teacher.name)
        networks.update((name, True) for name in networks if name in read)

    def report(self) -> None:
        """Warns of every option and teacher that no row reads.

        It is no error, so that a script may hand the same settings to every method. But all
        networks of an ensemble are meant.

        Raises:
            DDBenchError: some of several teachers are read by no row.
        """
        for path, is_read in self.options.items():
            if not is_read:
                self._warn(f"--set {path}", _explain(path))
        for asked, networks in self.teachers.items():
            unread = [name for name, is_read in networks.items() if not is_read]
            if unread and len(networks) == 1:
                self._warn(f"--teacher {asked}", "no teacher is trained and no labels ask one")
            elif unread:
                read = "+".join(name for name in networks if name not in unread)
                raise DDBenchError(
                    f"--teacher {asked} changes nothing by {' and '.join(unread)}: no row reads "
                    f"{'it' if len(unread) == 1 else 'them'}",
                    f"rows: {self._list_rows()}",
                    "several teachers are read by methods with matchers and regularizers, and by "
                    "labels that ask them",
                    hint=f"--teacher {read}" if read else "leave --teacher out",
                )

    def _warn(self, given: str, reason: str) -> None:
        text = f"{given} changes nothing: no row reads it ({self._list_rows()}); {reason}"
        warnings.warn(text, DDBenchWarning, stacklevel=3)

    def _list_rows(self) -> str:
        return ", ".join(f"{method}, labels {labels}" for method, labels in self.rows)


def _reads(
    bare: Cell,
    options: Mapping[str, str],
    path: str,
    info: DatasetInfo,
    extra: tuple[Statistic, ...],
) -> bool:
    """Tells whether an option changes a cell, or names the value that it has anyway."""
    others = {other: text for other, text in options.items() if other != path}
    given, without = (replace(apply(bare, some), overrides={}) for some in (options, others))
    if given == without:
        return True
    keys, other_keys = (
        {
            stage.key
            for stage in plan(cell, info, extra).stages()
            # Its key knows whether student and teacher differ, which protocols that hold images out
            # ask for; others train alike. Whatever else a teacher decides is in earlier stages.
            if stage.stage != "evaluate" or not path.startswith("teacher.") or cell.protocol.holdout
        }
        for cell in (given, without)
    )
    return keys != other_keys


def _explain(path: str) -> str:
    """Returns why an option changes nothing."""
    if path.partition(".")[0] in _OF_TEACHERS:
        return "no teacher is trained that it could bear on"
    if path.startswith("evaluate.holdout"):
        return "distilled images are held out where student and teacher are different networks"
    return "every stage has the same key without it"
