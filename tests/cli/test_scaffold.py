"""`ddbench new`: what it writes conforms as it is, and what it refuses."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.cli.scaffold import RUN_LINES, write_package
from ddbench.testing import check_part


@pytest.mark.parametrize("kind", RUN_LINES)
def test_the_part_conforms_unedited(kind, tmp_path, monkeypatch):
    made = write_package(kind, f"new_{kind}", tmp_path)
    monkeypatch.syspath_prepend(str(made))
    module = importlib.import_module(f"ddbench_new_{kind}")
    parts = getattr(module, f"ddbench_{kind}s")()
    assert list(parts) == [f"new_{kind}"]
    assert check_part(kind, f"new_{kind}", parts[f"new_{kind}"]) == []


@pytest.mark.parametrize("kind", RUN_LINES)
def test_the_package_is_complete(kind, tmp_path):
    made = write_package(kind, "a_part", tmp_path / "not" / "there")
    assert made == tmp_path / "not" / "there" / "ddbench-a-part"
    project = tomllib.loads((made / "pyproject.toml").read_text())
    assert project["project"]["name"] == "ddbench-a-part"
    assert project["project"]["entry-points"]["ddbench"] == {"a_part": "ddbench_a_part"}
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"] == [
        "ddbench_a_part.py"
    ]
    files = sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file())
    assert files == ["README.md", "ddbench_a_part.py", "pyproject.toml", "tests/test_a_part.py"]
    for path in files:
        text = (made / path).read_text()
        for placeholder in ("part_name", "part_symbol", "part_kind", "module_name", "run_line"):
            assert placeholder not in text


def test_two_data_sets_have_two_fingerprints(tmp_path, monkeypatch):
    """Records and artifacts go by it: with one for both, one's would be taken for the other's."""
    found = set()
    for name in ("one_set", "other_set"):
        monkeypatch.syspath_prepend(str(write_package("dataset", name, tmp_path)))
        (part,) = importlib.import_module(f"ddbench_{name}").ddbench_datasets().values()
        assert part.info(None).fingerprint == part.info(None).fingerprint
        found.add(part.info(None).fingerprint)
        monkeypatch.setattr(type(part), "version", 2)
        found.add(part.info(None).fingerprint)
    assert len(found) == 4


def test_the_code_is_clean(tmp_path):
    for kind in RUN_LINES:
        made = write_package(kind, f"clean_{kind}", tmp_path)
        for command in (
            ["check", "--select", "E,F,W,I,UP,B", "--ignore", "F722"],
            ["format", "--check"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "100", "."],
                cwd=made, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["features", "hookimpl", "part_kind", "mapping", "tap"])
@pytest.mark.parametrize("kind", ["matcher", "recipe"])
def test_names_that_the_module_uses_itself(kind, name, tmp_path, monkeypatch):
    made = write_package(kind, name, tmp_path)
    monkeypatch.syspath_prepend(str(made))
    sys.modules.pop(f"ddbench_{name}", None)
    module = importlib.import_module(f"ddbench_{name}")
    (part,) = getattr(module, f"ddbench_{kind}s")().values()
    assert check_part(kind, name, part) == []
    sys.modules.pop(f"ddbench_{name}", None)


def test_a_method_is_a_recipe(tmp_path):
    made = write_package("method", "mine", tmp_path)
    assert "ddbench_recipes" in (made / "ddbench_mine.py").read_text()


@pytest.mark.parametrize(
    ("name", "says", "hint"),
    [
        ("My-Metric", "lower_snake_case", "my_metric"),
        ("2fast", "lower_snake_case", "my_part"),
        ("", "lower_snake_case", "my_part"),
        ("größe", "lower_snake_case", "gr_e"),
        ("a__b", "lower_snake_case", "a_b"),
        ("../evil", "lower_snake_case", "evil"),
        ("lambda", "keyword of Python", "lambda_part"),
    ],
)
def test_bad_names_are_refused(name, says, hint, tmp_path):
    with pytest.raises(DDBenchError) as caught:
        write_package("evaluator", name, tmp_path)
    assert caught.value.problem == f"'{name}' cannot be the name of a part"
    assert says in str(caught.value)
    assert caught.value.hint == f"for example {hint}"
    assert not list(tmp_path.iterdir())


def test_an_unknown_kind_lists_the_known(tmp_path):
    with pytest.raises(DDBenchError, match="unknown kind of part 'evalutor'") as caught:
        write_package("evalutor", "mine", tmp_path)
    assert caught.value.hint == "did you mean 'evaluator'?"


@pytest.mark.parametrize(
    ("kind", "name", "owner"),
    [
        ("matcher", "wasserstein", "ddbench_plugins.matchers.wasserstein"),
        ("regularizer", "pcbn", "ddbench_plugins.regularizers.class_batch_norm"),
        ("recipe", "wmdd", "ddbench_plugins.recipes.wmdd"),
        ("evaluator", "accuracy", "ddbench_plugins.evaluators.accuracy"),
    ],
)
def test_taken_names_are_refused(kind, name, owner, tmp_path):
    article = "an" if kind == "evaluator" else "a"
    with pytest.raises(DDBenchError, match=f"there is {article} .* '{name}'") as caught:
        write_package(kind, name, tmp_path)
    assert owner in str(caught.value)


def test_a_taken_module_is_refused(tmp_path):
    with pytest.raises(DDBenchError, match="there is a module 'ddbench_plugins'"):
        write_package("evaluator", "plugins", tmp_path)


def test_nothing_is_overwritten(tmp_path):
    made = write_package("evaluator", "mine", tmp_path)
    (made / "ddbench_mine.py").write_text("my work")
    with pytest.raises(DDBenchError, match="exists") as caught:
        write_package("matcher", "mine", tmp_path)
    assert "never overwritten" in str(caught.value)
    assert (made / "ddbench_mine.py").read_text() == "my work"


def test_an_empty_folder_is_filled_and_a_file_is_not(tmp_path):
    (tmp_path / "ddbench-mine").mkdir()
    assert (write_package("evaluator", "mine", tmp_path) / "ddbench_mine.py").is_file()
    (tmp_path / "ddbench-other").write_text("")
    with pytest.raises(DDBenchError, match="exists"):
        write_package("evaluator", "other", tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error_without_traceback(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DDBenchError, match="cannot write"):
        write_package("evaluator", "mine", tmp_path / "file" / "below")


def test_importing_the_scaffold_is_light():
    code = "import sys, ddbench.cli.scaffold; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
