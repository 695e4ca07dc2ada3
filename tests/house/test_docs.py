"""The documentation is true: examples run, commands parse, hooks are named, links lead on."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from ddbench.api import hooks as hookspecs
from ddbench.api.toml_files import read_protocol
from ddbench.cli import app
from ddbench.cli.scaffold import RUN_LINES
from ddbench.registry import KINDS
from ddbench.testing import check_part, tiny_info

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "plugin-guide.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "examples").glob("*/README.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`(ddbench [^`]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
FILE = re.compile(r"# (\w+)\.py\n")
MOST_LINES = 40
"""Of the guide's evaluator."""


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in FENCE.findall(page.read_text()) if language in languages]


PYTHON = [(page, block) for page in PAGES for block in blocks(page, "python")]
NAMES = [f"{page.relative_to(ROOT)}-{index}" for index, (page, _) in enumerate(PYTHON)]


# -- Python ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "block"), PYTHON, ids=NAMES)
def test_python_compiles(page, block):
    compile(block, str(page), "exec")


@pytest.fixture
def written(tmp_path, monkeypatch) -> Iterator[list[str]]:
    """Every complete module of the pages, importable: those with a hook or a test, by name."""
    names = []
    for index, (_, block) in enumerate(PYTHON):
        if "@hookimpl" in block or "def test_" in block:
            named = FILE.match(block)
            names.append(named[1] if named else f"readme_example_{index}")
            (tmp_path / f"{names[-1]}.py").write_text(block)
    for block in blocks(GUIDE, "toml"):  # what a module may read
        (tmp_path / re.match(r"# (\w+\.toml)", block)[1]).write_text(block)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield names
    for name in names:
        sys.modules.pop(name, None)


def test_complete_examples_conform(written):
    checked = []
    for module in [importlib.import_module(name) for name in written]:
        for kind, hook in KINDS.items():
            for name, part in getattr(module, hook, dict)().items():
                assert check_part(kind, name, part) == []
                checked.append(kind)
    assert {"evaluator", "matcher", "regularizer", "recipe"} <= set(checked)


def test_tests_in_the_guide_pass(written):
    ran = 0
    for module in [importlib.import_module(name) for name in written]:
        for name, function in vars(module).items():
            if name.startswith("test_"):
                function()
                ran += 1
    assert ran >= 2


def test_the_evaluator_of_the_guide_is_short():
    (example,) = [b for b in blocks(GUIDE, "python") if "def ddbench_evaluators" in b]
    assert len(example.splitlines()) <= MOST_LINES


def test_toml_in_the_guide_names_its_modules():
    files = [FILE.match(block)[1] for block in blocks(GUIDE, "python") if FILE.match(block)]
    projects = [tomllib.loads(block) for block in blocks(GUIDE, "toml")]
    for project in (found for found in projects if "project" in found):
        for module in project["project"]["entry-points"]["ddbench"].values():
            assert module in files


def test_the_protocol_of_the_guide_is_one(tmp_path):
    (block,) = [block for block in blocks(GUIDE, "toml") if "[training]" in block]
    (tmp_path / "quick.toml").write_text(block)
    assert read_protocol(tmp_path / "quick.toml", tiny_info(pixels=64)).training.epochs == 50
    assert read_protocol(tmp_path / "quick.toml", tiny_info(pixels=8)).training.epochs == 100


def test_every_hook_is_in_the_guide():
    text = GUIDE.read_text()
    hooks = [name for name in vars(hookspecs) if name.startswith("ddbench_")]
    assert [hook for hook in hooks if f"`{hook}" not in text] == []


# -- commands --------------------------------------------------------------------------------------


def commands(page: Path) -> list[str]:
    """Every command line of a page's blocks, without prompt and comment."""
    found = []
    for block in blocks(page, "", "console", "sh", "bash", "shell"):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\s#.*", "", line.removeprefix("$ ").strip())
            pieces = [piece.strip() for piece in line.split("&&")]
            found += [piece for piece in pieces if piece.startswith("ddbench ")]
    return found


LINES = [(page, line) for page in PAGES for line in commands(page)]
SPANS = [(page, span) for page in PAGES for span in SPAN.findall(page.read_text())]


def command_of(words: list[str]):
    """The command that the first words name, and what follows them."""
    command = get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def options_of(command) -> set[str]:
    return {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}


@pytest.mark.parametrize(("page", "line"), LINES, ids=[line for _, line in LINES])
def test_a_command_in_a_block_parses(page, line):
    command, rest = command_of(shlex.split(line)[1:])
    if not hasattr(command, "commands"):
        command.make_context("ddbench", rest)  # raises what the user would be told


@pytest.mark.parametrize(("page", "span"), SPANS, ids=[span for _, span in SPANS])
def test_a_command_in_a_sentence_exists(page, span):
    words = [word.partition("|")[0] for word in span.split()[1:] if word not in ("…", "...")]
    if not re.fullmatch(r"[a-z]+", words[0] if words else ""):
        return  # `ddbench …`, `ddbench --help`
    command, rest = command_of(words)
    given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
    assert given <= options_of(command)


def test_the_commands_of_the_scaffold_parse():
    for line in RUN_LINES.values():
        command, rest = command_of(line.split()[1:])
        command.make_context("ddbench", rest)


# -- links -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page):
    targets = [t for t in LINK.findall(FENCE.sub("", page.read_text())) if "://" not in t]
    assert [t for t in targets if not (page.parent / t).exists()] == []


# -- the tree --------------------------------------------------------------------------------------


def test_the_tree_names_every_module():
    """A folder's files stand below it, and nothing that is gone."""
    (tree,) = [b for b in blocks(ROOT / "docs" / "architecture.md", "") if "ddbench/\n" in b[:10]]
    lines = tree.partition("plugins/ddbench_plugins/")[0].splitlines()[1:]
    told: dict[str, set[str]] = {}
    for line in lines:
        if (folder := re.match(r" +(\w+)/ ", line)) is not None:
            told[folder[1]] = set()
        elif line.startswith(" " * 18):
            told[list(told)[-1]] |= set(line.split())
    there: dict[str, set[str]] = {}
    for path in (ROOT / "ddbench").rglob("*.py"):
        if path.parent != ROOT / "ddbench":
            there.setdefault(path.parent.name, set()).add(path.stem)
    assert told == {folder: names - {"__init__"} for folder, names in there.items()}
