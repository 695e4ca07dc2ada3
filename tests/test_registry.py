"""What loads, under which names, and what a broken or clashing plug-in does."""

from __future__ import annotations

import itertools

import pytest

from ddbench.api.errors import DDBenchError, DDBenchWarning
from ddbench.registry import RESTRICT, load
from ddbench.testing import check_plugin, tiny_info
from tests.doubles.installed import install, provider

_COUNT = itertools.count()


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(RESTRICT, raising=False)
    return tmp_path


def loaded(site, *sources, distributions=("ddbench-one", "ddbench-two", "ddbench-three")):
    """A registry of plug-ins, one a distribution; modules stay imported, so names are new."""
    points = []
    for distribution, source in zip(distributions, sources, strict=False):
        name = f"part_of_a_test_{next(_COUNT)}"
        points += install(site, distribution, {name: source})
    return load(points)


def test_parts_are_found_by_kind_and_name(site):
    registry = loaded(site, provider("matcher", "b", "a"), provider("evaluator", "a"))
    assert registry.names("matcher") == ["a", "b"]
    assert registry.names("evaluator") == ["a"]
    assert registry.names("regularizer") == []
    first, second = registry.plugins
    assert (first.distribution, first.provides, first.error) == (
        "ddbench-one", ("matcher b", "matcher a"), "",
    )  # fmt: skip
    assert second.provides == ("evaluator a",)


def test_aliases_are_other_names_of_one_kind(site):
    source = provider("regularizer", "class_norm", aliases={"regularizer:cn": "class_norm"})
    registry = loaded(site, source, provider("matcher", "other"))
    assert registry.resolve("regularizer", "cn") == "class_norm"
    assert registry.get("regularizer", "cn") is registry.parts["regularizer"]["class_norm"]
    with pytest.raises(DDBenchError, match="unknown matcher 'cn'"):
        registry.get("matcher", "cn")


def test_an_unknown_name_lists_the_known_and_the_nearest(site):
    registry = loaded(site, provider("matcher", "wasserstein", "mean"))
    with pytest.raises(DDBenchError) as caught:
        registry.get("matcher", "wasserstien")
    assert str(caught.value) == (
        "unknown matcher 'wasserstien'\n  known: mean, wasserstein\n"
        "  hint: did you mean 'wasserstein'?"
    )


def test_a_recipe_is_called_a_method(site):
    with pytest.raises(DDBenchError, match="unknown method 'wmd'"):
        loaded(site, provider("recipe", "wmdd")).get("recipe", "wmd")


def test_an_argument_follows_a_colon(site):
    registry = loaded(site, provider("dataset", "folder"))
    assert registry.get("dataset", "folder:/data/mine").path == "/data/mine"
    with pytest.raises(DDBenchError) as caught:
        registry.get("dataset", "folder")
    assert "needs an argument" in str(caught.value)
    assert "folder:PATH" in str(caught.value)


def test_a_protocol_is_a_function_or_the_path_of_a_toml_file(site):
    path = site / "quick.toml"
    path.write_text("[training]\nepochs = 7\n")
    head = "from pathlib import Path\nfrom ddbench import hookimpl\n@hookimpl\n"
    hook = f"def ddbench_protocols():\n    return {{'quick': Path({str(path)!r}), 'odd': 'a.toml'}}"
    registry = loaded(site, head + hook)
    for name in ("quick", str(path)):
        assert registry.get("protocol", name)(tiny_info()).training.epochs == 7
    with pytest.raises(DDBenchError, match="'odd' is str, expected a function or the Path of a T"):
        registry.get("protocol", "odd")


def test_two_parts_of_one_name_are_an_error_that_names_both(site):
    with pytest.raises(DDBenchError) as caught:
        loaded(site, provider("evaluator", "ece"), provider("evaluator", "ece"))
    assert "two plug-ins provide evaluator 'ece'" in str(caught.value)
    assert "ddbench-one:" in str(caught.value)
    assert "ddbench-two:" in str(caught.value)


def test_two_classes_of_one_identity_are_an_error_that_names_both(site):
    first, second = (
        provider("evaluator", name).replace("class Part:", 'class Part:\n    identity = "old:Part"')
        for name in ("one", "two")
    )
    with pytest.raises(DDBenchError) as caught:
        loaded(site, first, second)
    assert "two classes have the identity 'old:Part'" in str(caught.value)
    assert str(caught.value).count(":Part and ") == 1


def test_one_name_in_two_kinds_is_no_clash(site):
    registry = loaded(site, provider("matcher", "none"), provider("regularizer", "none"))
    assert registry.get("matcher", "none") is not registry.get("regularizer", "none")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import a_module_that_is_nowhere", "ModuleNotFoundError: No module named"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise ValueError", "ValueError: no message"),
        ("raise ValueError('first\\nsecond')", "ValueError: first"),
        (
            "from ddbench import hookimpl\n@hookimpl\ndef ddbench_matchers():\n    return 1 / 0",
            "ZeroDivisionError: division by zero",
        ),
        (
            "from ddbench import hookimpl\n@hookimpl\ndef ddbench_matchers():\n    return [1]",
            "DDBenchError: ddbench_matchers gives a list, expected a mapping",
        ),
        (
            "from ddbench import hookimpl\n@hookimpl\ndef ddbench_matcher():\n    return {}",
            "DDBenchError: unknown hook 'ddbench_matcher'; did you mean 'ddbench_matchers'?",
        ),
        (
            "from ddbench import hookimpl\n@hookimpl(specname='ddbench_matcher')\n"
            "def ddbench_matchers():\n    return {}",
            "DDBenchError: unknown hook 'ddbench_matcher'",
        ),
        (
            "from ddbench import hookimpl\n@hookimpl\ndef ddbench_cell_done(result):\n    pass",
            "PluginValidationError: Plugin 'ddbench-two:",
        ),
        (
            "from ddbench import hookimpl\n@hookimpl\ndef ddbench_matchers():\n    return {5: 5}",
            "DDBenchError: ddbench_matchers gives the name 5, expected lower_snake_case",
        ),
        (
            "from ddbench import hookimpl\n@hookimpl\ndef ddbench_matchers():\n    return {'+': 5}",
            "DDBenchError: ddbench_matchers gives the name '+'",
        ),
        (
            provider("matcher", "own")
            + "@hookimpl(specname='ddbench_matchers')\ndef more():\n    return {'own': Part()}",
            "DDBenchError: ddbench_matchers gives 'own' twice",
        ),
    ],
)
def test_a_broken_plugin_is_one_line_and_harms_no_other(site, source, error):
    registry = loaded(site, provider("matcher", "before"), source, provider("matcher", "after"))
    assert registry.names("matcher") == ["after", "before"]
    (broken,) = [plugin for plugin in registry.plugins if plugin.error]
    assert broken.distribution == "ddbench-two"
    assert broken.error.startswith(error)
    assert "\n" not in broken.error
    assert registry.manager.get_plugin(f"ddbench-two:{broken.name}") is None


def test_the_argument_that_a_hook_does_not_have_is_named(site):
    source = "from ddbench import hookimpl\n@hookimpl\ndef ddbench_cell_done(result):\n    pass"
    (plugin,) = loaded(site, source).plugins
    assert "'result'" in plugin.error
    assert "can not be found in the hookspec" in plugin.error


def test_two_mappings_in_one_module(site):
    source = provider("matcher", "a")
    source += "@hookimpl(specname='ddbench_matchers')\ndef more():\n    return {'b': Part()}"
    assert loaded(site, source).names("matcher") == ["a", "b"]


@pytest.mark.parametrize(
    ("aliases", "said"),
    [
        ({"matcher:mean": "other"}, "the alias 'matcher:mean' is the name of a part"),
        ({"matcher:m": "other"}, "the alias 'matcher:m' is one of 'mean' already"),
        ({"matcher:new": "gone"}, "the alias 'matcher:new' is one of 'gone', which nobody"),
        ({"mat:new": "other"}, "the alias 'mat:new' expected KIND:NAME"),
        ({5: "other"}, "the alias 5 expected KIND:NAME"),
    ],
)
def test_an_alias_that_changes_what_a_name_means_breaks_its_plugin(site, aliases, said):
    first = provider("matcher", "mean", aliases={"matcher:m": "mean"})
    registry = loaded(site, first, provider("matcher", "other", aliases=aliases))
    good, broken = registry.plugins
    assert not good.error
    assert broken.error.startswith(said)
    assert not broken.provides
    assert registry.names("matcher") == ["mean"]
    assert registry.aliases == {"matcher:m": "mean"}
    assert registry.manager.get_plugin(f"ddbench-two:{broken.name}") is None


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("Part", "is a class; hooks return ready-to-use parts: Part()"),
        ("Plain()", "is no dataclass: derive Plain from Matcher"),
        ("Bare()", "lacks what every matcher has: loss"),
    ],
)
def test_a_part_that_is_none_is_told_with_its_plugin_when_it_is_asked_for(site, part, said):
    source = provider("matcher", "good")
    source += f"""
class Plain: pass

@dataclass(frozen=True)
class Bare: pass

@hookimpl(specname='ddbench_matchers')
def more():
    return {{"bad": {part}}}
"""
    registry = loaded(site, source)
    assert registry.get("matcher", "good")
    with pytest.raises(DDBenchError) as caught:
        registry.get("matcher", "bad")
    assert f"matcher 'bad' {said}" in str(caught.value)
    assert "(ddbench-one)" in str(caught.value)


def test_a_recipe_is_a_function(site):
    source = "from ddbench import hookimpl\n@hookimpl\ndef ddbench_recipes():\n    return {'a': 5}"
    with pytest.raises(DDBenchError, match="method 'a' is int, expected a function"):
        loaded(site, source).get("recipe", "a")


def test_a_recipe_whose_part_is_none_is_told_with_its_plugin(site):
    source = """
from dataclasses import dataclass
from ddbench import hookimpl
from ddbench.api.recipe import MatcherTerm, Recipe, Training
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.matchers.mean import Mean

@dataclass(frozen=True)
class Aimless:
    version = 1
    statistics = ()
    def taps(self, network): return ()

def mine(info, ipc):
    \"\"\"Its summary.\"\"\"
    term = MatcherTerm(name="aimless", weight=1.0, part=Mean())
    object.__setattr__(term, "part", Aimless())  # past the check of types that tests make
    return Recipe(
        name="mine", title="", squeeze=Training(epochs=1), labeller=Hard(), distiller=Optimize(),
        matchers=(term,),
    )

@hookimpl
def ddbench_recipes():
    return {"mine": mine, "nothing": lambda info, ipc: None}
"""
    registry = loaded(site, source)
    make = registry.get("recipe", "mine")
    assert make.__doc__ == "Its summary."
    with pytest.raises(DDBenchError) as caught:
        make(tiny_info(), 1)
    said = "method 'mine' has a matcher 'aimless' that lacks what every matcher has: loss"
    assert said in str(caught.value)
    assert "(ddbench-one)" in str(caught.value)
    with pytest.raises(DDBenchError, match="method 'nothing' gave NoneType, expected Recipe"):
        registry.get("recipe", "nothing")(tiny_info(), 1)


def test_a_name_that_a_broken_plugin_would_give_points_there(site):
    broken = install(site, "ddbench-late", {"medoid_plugin": "import a_module_that_is_nowhere"})
    good = install(site, "ddbench-good", {"part_of_a_test_good": provider("matcher", "mean")})
    registry = load([*good, *broken])
    with pytest.raises(DDBenchError) as caught:
        registry.get("matcher", "medoid")
    assert "plug-in medoid_plugin (ddbench-late) did not load" in str(caught.value)


@pytest.mark.parametrize(
    ("only", "names"),
    [("ddbench-two", ["b"]), ("ddbench-one, DDBench_Two", ["a", "b"]), ("", [])],
)
def test_the_environment_restricts_what_loads(site, monkeypatch, only, names):
    monkeypatch.setenv(RESTRICT, only)
    registry = loaded(site, provider("matcher", "a"), provider("matcher", "b"))
    assert registry.names("matcher") == names


def test_a_name_in_the_environment_that_matches_nothing_is_told(site, monkeypatch):
    monkeypatch.setenv(RESTRICT, "ddbench-one, ddbench-won")
    with pytest.warns(DDBenchWarning, match="names 'ddbench-won', which has no plug-in") as caught:
        assert loaded(site, provider("matcher", "a")).names("matcher") == ["a"]
    assert len(caught) == 1


@pytest.mark.filterwarnings("ignore:DDBENCH_PLUGINS names")
def test_check_says_that_the_environment_left_a_package_out(site, monkeypatch):
    install(site, "ddbench-hidden", {"part_of_a_test_hidden": provider("matcher", "a")})
    monkeypatch.setenv(RESTRICT, "ddbench-other")
    with pytest.raises(DDBenchError, match="'ddbench-hidden' is installed") as caught:
        check_plugin("ddbench-hidden", load())
    assert caught.value.hint == f"add ddbench-hidden to {RESTRICT}, or unset it"


@pytest.mark.filterwarnings("ignore:DDBENCH_PLUGINS names")
def test_built_in_parts_always_load(site, monkeypatch):
    monkeypatch.setenv(RESTRICT, "ddbench-nobody")
    registry = load()
    assert "wasserstein" in registry.names("matcher")
    assert {plugin.distribution for plugin in registry.plugins} == {"ddbench"}
    assert registry.get("regularizer", "pcbn") is registry.get("regularizer", "class_batch_norm")


def test_an_entry_point_found_twice_counts_once(site):
    points = install(site, "ddbench-one", {"part_of_a_test_twice": provider("matcher", "a")})
    assert load([*points, *points]).names("matcher") == ["a"]
