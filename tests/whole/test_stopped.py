"""Ctrl-C: one sentence on standard error, exit code 130, and no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from ddbench import __main__ as entry
from ddbench.api.errors import STOPPED


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_a_command_that_is_stopped_says_what_is_kept(ddbench, monkeypatch):
    monkeypatch.setattr("ddbench.registry.load", interrupt)
    done = ddbench("list")
    assert (done.code, done.out, done.err) == (130, "", f"{STOPPED}\n")


def test_so_does_a_real_signal_in_the_midst_of_a_command():
    code = (
        "import os, signal, sys\n"
        "import ddbench.registry\n"
        "ddbench.registry.load = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['ddbench', 'list']\n"
        "from ddbench.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, f"{STOPPED}\n")


def test_the_command_line_is_stopped_while_it_is_imported(monkeypatch, capsys):
    class Interrupting:
        def find_spec(self, name, *_):
            if name == "ddbench.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "ddbench.cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    with pytest.raises(SystemExit) as stop:
        entry.main()
    assert (stop.value.code, capsys.readouterr().err) == (130, f"{STOPPED}\n")
