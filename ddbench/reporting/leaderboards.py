"""Leaderboards as folders of reviewed records, and the pages that are rendered from them.

ROOT/README.md               prose, with a rendered block for each board
ROOT/NAME/records/*.json     one a cell
ROOT/NAME/table.md           rendered from the records
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ddbench.api.errors import DDBenchError
from ddbench.api.record import Record
from ddbench.api.types import DatasetInfo
from ddbench.data.description import describe
from ddbench.pipeline.cell import Cell
from ddbench.pipeline.plan import Plan
from ddbench.pipeline.recording import check_data
from ddbench.registry import Registry
from ddbench.reporting import render
from ddbench.reporting.reproduce import cell_of, faults_of, plan_of
from ddbench.reporting.tables import choose_views
from ddbench.store.files import write_whole
from ddbench.store.records import Records, read_record

README, TABLE, RECORDS = "README.md", "table.md", "records"
BLOCK = re.compile(
    r"(?P<head><!-- board: (?P<name>[^ ]+) -->\n).*?(?P<tail><!-- end of board -->\n)", re.DOTALL
)


def boards_of(root: Path) -> list[Path]:
    """The boards of a folder, or the folder itself where it is one.

    Raises:
        DDBenchError: there is none.
    """
    if (root / RECORDS).is_dir():
        return [root]
    found = sorted(p.parent for p in root.glob(f"*/{RECORDS}") if p.is_dir())
    if not found:
        raise DDBenchError(
            f"no leaderboard in {root}",
            f"expected: a folder with {RECORDS}/*.json, or a folder of such folders",
        )
    return found


# -- rendering -------------------------------------------------------------------------------------


def pages(root: Path) -> dict[Path, str]:
    """What every rendered file should hold.

    Raises:
        DDBenchError: a board is empty, a record cannot be read, or the README has a block for a
            board that is not there, or none for one that is.
    """
    boards = boards_of(root)
    records = {board.name: list(Records(board / RECORDS).all()) for board in boards}
    for board in boards:
        if not records[board.name]:
            raise DDBenchError(
                f"{board / RECORDS} has no records", "expected: a .json file a cell",
                hint=f"`ddbench leaderboard add {board} RECORD…` puts them there",
            )  # fmt: skip
    made = {board / TABLE: table_text(records[board.name]) for board in boards}
    if (root / README).is_file():
        made[root / README] = _readme((root / README).read_text(), records)
    return made


def table_text(records: list[Record]) -> str:
    """Every view of the records, as Markdown."""
    views = choose_views(records)
    return "\n\n".join(render.to_markdown(view).rstrip() for view in views) + "\n"


def _readme(text: str, records: Mapping[str, list[Record]]) -> str:
    named = [found["name"] for found in BLOCK.finditer(text)]
    if set(named) != set(records):
        odd = sorted(set(named) ^ set(records))
        raise DDBenchError(
            f"{README} and the folders beside it do not agree about {', '.join(odd)}",
            "expected: for each folder NAME the lines",
            "<!-- board: NAME --> and <!-- end of board -->",
        )
    return BLOCK.sub(lambda m: f"{m['head']}\n{_block(records[m['name']])}\n{m['tail']}", text)


def _block(records: list[Record]) -> str:
    """The leaderboard, and the commands that made its records."""
    board = render.to_markdown(choose_views(records)[0])
    commands = sorted({record.command for record in records})
    return f"{board}\nMade by:\n\n```\n" + "\n".join(commands) + "\n```\n"


def stale(root: Path) -> list[Path]:
    """Rendered files that are not what their records say."""
    return [
        path for path, text in pages(root).items() if not path.is_file() or path.read_text() != text
    ]


def write_pages(root: Path) -> list[Path]:
    """Renders what is stale."""
    made = pages(root)
    old = stale(root)
    for path in old:
        write_whole(path, made[path])
    return old


# -- records ---------------------------------------------------------------------------------------


def add(board: Path, record: Record) -> Path:
    """Puts a record into a board, with its checksum, in the place of an older one of its cell."""
    folder = board / RECORDS
    folder.mkdir(parents=True, exist_ok=True)
    return Records(folder).put(record)


def check(board: Path, registry: Registry, data_root: Path | None) -> Iterator[str]:
    """A sentence for everything that keeps a board's records from being accepted."""
    keys: dict[str, str] = {}
    paths = sorted((board / RECORDS).glob("*"))
    if not paths:
        yield f"{board / RECORDS} is empty"
    for path in paths:
        if path.suffix != ".json":
            yield f"{path} is no record: only .json files belong here"
            continue
        try:
            record = read_record(path)
        except DDBenchError as fault:
            yield f"{path} cannot be read: {'; '.join(fault.facts) or fault.problem}"
            continue
        if record.key in keys:
            yield f"{path} is of the same cell as {keys[record.key]}: leave one out"
        keys[record.key] = path.name
        for fault in _faults(record, path, registry, data_root):
            yield f"{path} {fault}"


def _faults(record: Record, path: Path, registry: Registry, root: Path | None) -> Iterator[str]:
    if path.name != record.file_name:
        yield f"is misnamed: its contents belong in {record.file_name}"
    if not record.checksum:
        yield "has no checksum: `ddbench leaderboard add` writes one"
    if record.status != "ok":
        yield f"is of a run that failed ({record.status}): only finished cells are accepted"
    elif record.metric("top1") is None:
        yield "has no top-1 accuracy"
    if record.holdout:
        yield "was judged on held-out training images: run it again without --holdout"
    if not record.command.startswith("ddbench "):
        yield "names no command that made it"
    elif any(word.startswith("/") for word in record.command.split()):
        yield "names a file by its place on one machine: nobody else can run its command"
    if not record.environment.get("packages"):
        yield "says nothing of the versions and the machine that it was made with"
    if not record.costs:
        yield "says nothing of what its stages cost"
    plan: Plan | None = None
    try:
        cell = cell_of(record, registry)
        info = _data(cell, root)
        if info is not None:
            check_data(record, info)
            plan = plan_of(cell, root)
    except DDBenchError as fault:
        yield f"cannot be run again here: {fault.problem}"
    yield from faults_of(record, plan)


def _data(cell: Cell, root: Path | None) -> DatasetInfo | None:
    """The data set, or None where it is not on this machine: the rest is checked all the same."""
    try:
        return describe(cell.dataset, root)
    except DDBenchError:
        return None
