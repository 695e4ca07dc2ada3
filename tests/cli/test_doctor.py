"""`ddbench doctor`: what it prints of a broken installation."""

from __future__ import annotations

from ddbench.api.errors import DDBenchError
from ddbench.cli import doctor


def test_the_doctor_keeps_brackets_of_a_hint(monkeypatch, capsys, tmp_path):
    from rich.console import Console

    def load():
        raise DDBenchError("broken", hint="pip install 'ddbench[figures]'")

    monkeypatch.setattr("ddbench.registry.load", load)
    assert doctor.examine(Console(), None, tmp_path) > 0
    assert "ddbench[figures]" in capsys.readouterr().out
