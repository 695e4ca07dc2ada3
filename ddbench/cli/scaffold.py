"""Writes plug-in packages that install and pass `ddbench check` as they are.

Importing this module loads neither torch nor any plug-in.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from ddbench.api.errors import DDBenchError, unknown

RUN_LINES: Mapping[str, str] = {
    "evaluator": "ddbench run --evaluator part_name",
    "matcher": "ddbench run --matcher part_name,wasserstein",
    "regularizer": "ddbench run --regularizer part_name,pcbn",
    "labeller": "ddbench run --labels part_name,fkd",
    "distiller": "ddbench list distillers",
    "dataset": "ddbench run --dataset part_name",
    "architecture": "ddbench run --arch part_name",
    "recipe": "ddbench run --method part_name,wmdd",
    "format": "ddbench export wmdd-digits folder --format part_name",
}
"""For every kind that has a template, a first command that shows the part at work."""


def write_package(kind: str, name: str, folder: Path) -> Path:
    """Writes a complete package `ddbench-NAME`: module, entry point, README and test.

    Args:
        kind: `evaluator`, `matcher` and so on; `method` is accepted for `recipe`.
        name: Of the part, in lower_snake_case.
        folder: Where the package's folder is made.

    Returns:
        The new folder, named after the distribution; `_` in the part's name becomes `-`.

    Raises:
        DDBenchError: no such kind, a name that cannot be one or is taken, or a folder that holds
            files.
    """
    from ddbench.registry import SHOWN_AS

    kind = {shown: known for known, shown in SHOWN_AS.items()}.get(kind, kind)
    if kind not in RUN_LINES:
        raise unknown("kind of part", kind, {*RUN_LINES, "method"})
    _check_name(name)
    made = folder / f"ddbench-{name.replace('_', '-')}"
    _check_folder(made)
    _check_free(kind, name)
    texts = _texts(kind, name, made.name)
    try:
        for path, text in texts.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_text(text, encoding="utf-8")
    except OSError as fault:
        raise DDBenchError(f"cannot write {made}", str(fault), hint="--output FOLDER") from fault
    return made


def _check_name(name: str) -> None:
    """Checks a name that is to be that of a module, a class and options, typed on command lines."""
    from ddbench.registry import PART_NAME

    likely = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not PART_NAME.fullmatch(name):
        fact = "expected: lower_snake_case, a letter first"
        example = likely if PART_NAME.fullmatch(likely) else "my_part"
    elif keyword.iskeyword(name):
        fact, example = "it is a keyword of Python", f"{name}_part"
    else:
        return
    raise DDBenchError(
        f"'{name}' cannot be the name of a part", fact, hint=f"for example {example}"
    )


def _check_folder(made: Path) -> None:
    if made.is_dir() and any(made.iterdir()):
        fact = "it holds files, which are never overwritten"
    elif made.exists() and not made.is_dir():
        fact = "it is a file"
    else:
        return
    raise DDBenchError(
        f"{made} exists", fact, hint="another name, or another folder: --output FOLDER"
    )


def _check_free(kind: str, name: str) -> None:
    """Checks a name against parts, of which two would stop every command, and against modules."""
    from ddbench.registry import SHOWN_AS, load

    shown = SHOWN_AS.get(kind, kind)
    registry = load()
    if registry.resolve(kind, name) in registry.parts[kind]:
        said = f"{kind} {registry.resolve(kind, name)}"
        owners = [p for p in registry.plugins if said in p.provides]
        facts = [f"provided by {p.distribution}, {p.module}" for p in owners]
        article = "an" if shown[0] in "aeiou" else "a"
        raise DDBenchError(f"there is {article} {shown} '{name}'", *facts, hint="take another name")
    module = f"ddbench_{name}"
    if find_spec(module) is not None:
        raise DDBenchError(
            f"there is a module '{module}'",
            "the package would be named the same",
            hint="take another name, or uninstall that package",
        )


def _texts(kind: str, name: str, package: str) -> dict[str, str]:
    """Returns every file of the package, by its path."""
    templates = files("ddbench.cli") / "scaffold_templates"
    paths = {"pyproject.toml": "pyproject.toml", "README.md": "README.md"}
    paths |= {f"{kind}.py": f"ddbench_{name}.py", "test.py": f"tests/test_{name}.py"}
    texts = {
        path: (templates / f"{template}.tmpl").read_text(encoding="utf-8")
        for template, path in paths.items()
    }
    module = texts[f"ddbench_{name}.py"]
    symbol = name if kind == "recipe" else "".join(word.capitalize() for word in name.split("_"))
    if re.search(rf"\b{symbol}\b", module):  # the module uses that name for something else
        symbol += "_recipe" if kind == "recipe" else kind.capitalize()
    words = {
        "run_line": RUN_LINES[kind].replace("part_name", name),
        "package_name": package,
        "module_name": f"ddbench_{name}",
        "part_object": symbol if kind == "recipe" else f"{symbol}()",
        "part_symbol": symbol,
        "part_kind": kind,
        "part_name": name,
    }
    # In one pass, for a name may look like a placeholder.
    pattern = re.compile("|".join(words))
    return {path: pattern.sub(lambda found: words[found[0]], text) for path, text in texts.items()}
