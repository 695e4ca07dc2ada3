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
from ddbench.reporting.reproduce import find_faults, plan_here, rebuild_cell
from ddbench.reporting.tables import choose_views
from ddbench.store.files import write_whole
from ddbench.store.records import Records, read_record

README, TABLE, RECORDS = "README.md", "table.md", "records"
BLOCK = re.compile(
    r"(?P<head><!-- board: (?P<name>[^ ]+) -->\n).*?(?P<tail><!-- end of board -->\n)", re.DOTALL
)


def find_boards(root: Path) -> list[Path]:
    """Returns the boards of a folder, or the folder itself where it is one.

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


def render_pages(root: Path) -> dict[Path, str]:
    """Renders the text that every page should hold.

    Raises:
        DDBenchError: a board is empty, a record cannot be read, or the README has a block for a
            board that is not there, or none for one that is.
    """
    boards = find_boards(root)
    records = {board.name: list(Records(board / RECORDS).all()) for board in boards}
    for board in boards:
        if not records[board.name]:
            raise DDBenchError(
                f"{board / RECORDS} has no records",
                "expected: a .json file a cell",
                hint=f"`ddbench leaderboard add {board} RECORD…` puts them there",
            )
    pages = {board / TABLE: render_table(records[board.name]) for board in boards}
    if (root / README).is_file():
        pages[root / README] = _fill_readme((root / README).read_text(), records)
    return pages


def render_table(records: list[Record]) -> str:
    """Renders every view of the records as Markdown."""
    views = choose_views(records)
    return "\n\n".join(render.to_markdown(view).rstrip() for view in views) + "\n"


def _fill_readme(text: str, records: Mapping[str, list[Record]]) -> str:
    named = [match["name"] for match in BLOCK.finditer(text)]
    if set(named) != set(records):
        odd = sorted(set(named) ^ set(records))
        raise DDBenchError(
            f"{README} and the folders beside it do not agree about {', '.join(odd)}",
            "expected: for each folder NAME the lines",
            "<!-- board: NAME --> and <!-- end of board -->",
        )
    return BLOCK.sub(
        lambda m: f"{m['head']}\n{_render_block(records[m['name']])}\n{m['tail']}", text
    )


def _render_block(records: list[Record]) -> str:
    """Renders the leaderboard, and the commands that made its records."""
    board = render.to_markdown(choose_views(records)[0])
    commands = sorted({record.command for record in records})
    return f"{board}\nMade by:\n\n```\n" + "\n".join(commands) + "\n```\n"


def find_stale(root: Path) -> list[Path]:
    """Returns the rendered files that are not what their records say."""
    return [
        path
        for path, text in render_pages(root).items()
        if not path.is_file() or path.read_text() != text
    ]


def write_pages(root: Path) -> list[Path]:
    """Renders what is stale; returns the files that were written."""
    pages = render_pages(root)
    stale = find_stale(root)
    for path in stale:
        write_whole(path, pages[path])
    return stale


# -- records ---------------------------------------------------------------------------------------


def add(board: Path, record: Record) -> Path:
    """Puts a record into a board, with its checksum, in the place of an older one of its cell."""
    folder = board / RECORDS
    folder.mkdir(parents=True, exist_ok=True)
    return Records(folder).put(record)


def check(board: Path, registry: Registry, data_root: Path | None) -> Iterator[str]:
    """Yields a sentence for everything that keeps a board's records from being accepted."""
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
        for sentence in _find_faults(record, path, registry, data_root):
            yield f"{path} {sentence}"


def _find_faults(
    record: Record, path: Path, registry: Registry, root: Path | None
) -> Iterator[str]:
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
        cell = rebuild_cell(record, registry)
        info = _describe_data(cell, root)
        if info is not None:
            check_data(record, info)
            plan = plan_here(cell, root)
    except DDBenchError as fault:
        yield f"cannot be run again here: {fault.problem}"
    yield from find_faults(record, plan)


def _describe_data(cell: Cell, root: Path | None) -> DatasetInfo | None:
    """Describes the data set; None where it is not on this machine: the rest is checked anyway."""
    try:
        return describe(cell.dataset, root)
    except DDBenchError:
        return None
