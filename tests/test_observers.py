"""Observers are told what happens and can change nothing, whatever they do."""

from __future__ import annotations

import itertools
import warnings

import pytest

from ddbench.api.errors import DDBenchWarning
from ddbench.registry import load, tell
from ddbench.testing import check_plugin
from tests.doubles.installed import install

_COUNT = itertools.count()
HEAD = "from ddbench import hookimpl\nSEEN = []\n"
QUIET = f"{HEAD}@hookimpl\ndef ddbench_cell_done(record):\n    SEEN.append(record)\n"
STAGE = {"stage": "recover", "key": "k", "seconds": 1.0, "peak_bytes": None, "cached": True}


def loud(hook, arguments, fault):
    return f"{HEAD}@hookimpl\ndef {hook}({arguments}):\n    raise {fault}\n"


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))

    def plugins(*sources):
        points = []
        for source in sources:
            name = f"observer_{next(_COUNT)}"
            points += install(tmp_path, f"ddbench-{name.replace('_', '-')}", {name: source})
        return load(points)

    return plugins


@pytest.mark.parametrize("fault", ["RuntimeError('no network\\nat all')", "SystemExit(3)"])
def test_one_that_raises_is_named_and_stops_no_other(loaded, fault):
    registry = loaded(QUIET, loud("ddbench_cell_done", "record", fault), QUIET)
    with pytest.warns(DDBenchWarning, match="ddbench_cell_done raised") as caught:
        tell(registry.manager, "ddbench_cell_done", record="a record")
    (warning,) = caught
    assert registry.plugins[1].name in str(warning.message)
    assert "\n" not in str(warning.message)
    for place in (0, 2):
        plugin = registry.plugins[place]
        module = registry.manager.get_plugin(f"{plugin.distribution}:{plugin.name}")
        assert module.SEEN == ["a record"]


def test_a_grid_goes_on_without_them(ddbench, alone, tmp_path, monkeypatch):
    """A tracker that is out of reach; every cell is as good as without it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    source = loud("ddbench_cell_done", "record", "OSError('offline')")
    source += "@hookimpl\ndef ddbench_stage_done(stage):\n    raise OSError('offline')\n"
    install(tmp_path, "ddbench-tracker", {f"observer_{next(_COUNT)}": source})
    flags = [
        "-d",
        "digits",
        "-m",
        "random",
        "--ipc",
        1,
        "--labels",
        "hard",
        "--no-reference",
        *alone,
    ]
    done = ddbench("run", *flags)
    assert done.code == 0, done.err
    assert "ddbench_cell_done raised OSError: offline" in done.err
    assert "ddbench_stage_done raised OSError: offline" in done.err


def test_all_is_quiet_where_none_raises(loaded):
    registry = loaded(QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tell(registry.manager, "ddbench_cell_done", record="a record")
        tell(registry.manager, "ddbench_stage_done", **STAGE)


def test_check_calls_them_once(loaded):
    registry = loaded(QUIET, loud("ddbench_stage_done", "stage, cached", "KeyError('url')"))
    good, bad = registry.plugins
    report = check_plugin(good.distribution, registry)
    assert report.ok
    module = registry.manager.get_plugin(f"{good.distribution}:{good.name}")
    assert [record.status for record in module.SEEN] == ["ok"]
    report = check_plugin(bad.distribution, registry)
    assert not report.ok
    assert "ddbench_stage_done raised KeyError: 'url'" in str(report)
