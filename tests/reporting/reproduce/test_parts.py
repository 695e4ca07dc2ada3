"""A record names parts and cannot choose what code runs."""

from __future__ import annotations

import pytest

from ddbench.reporting.reproduce.parts import UnknownPartError, build_part


@pytest.mark.parametrize(
    ("spelt", "told"),
    [
        (["subprocess:Popen/1", {"args": "true"}], "is not installed here"),
        (["ddbench.pipeline.execute:execute/1", {}], "is not installed here"),
        (["ddbench.cache:Cache/1", {"root": "/"}], "is not installed here"),
        (["ddbench.spec:Training/9", {"epochs": 3}], "is version 1 here and 9 in the record"),
        (["ddbench.spec:Training/1", {"epochs": 3, "epoch": 3}], "has no option epoch"),
        (["ddbench.spec:Training/1", {"epochs": "many"}], "epochs cannot be 'many'"),
        (["ddbench.spec:Training/1", {}], "cannot be made of its record"),
        ("wmdd", "is no part"),
    ],
)
def test_a_record_cannot_choose_what_runs(spelt, told, registry):
    with pytest.raises(UnknownPartError, match=told):
        build_part(spelt, registry)
