"""Every registered format: exact round trips of bytes, labels, weights and step sizes."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from ddbench.api.distilled_set import PortableSet, check_set
from ddbench.testing.formats import differences
from ddbench_plugins.formats.dc_tensors import DCTensors
from ddbench_plugins.formats.ddbench_set import DDBenchSet
from ddbench_plugins.formats.sre2l_folders import SRe2LFolders
from ddbench_plugins.formats.tensor_files import MTTFiles

MTT = MTTFiles()


WEIGHT = st.floats(0, 1, width=32, allow_subnormal=False)


RATE = st.one_of(st.floats(2**-20, 8, width=32), st.floats(1e-6, 10))


@st.composite
def sets(draw: st.DrawFn) -> PortableSet:
    """Bytes of any value, classes in any order and number, weights, perhaps a step size."""
    classes, channels, side = draw(st.integers(2, 4)), draw(st.sampled_from([1, 3])), 4
    labels = [*range(classes), *draw(st.lists(st.integers(0, classes - 1), max_size=4))]
    labels = draw(st.permutations(labels))
    rng = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = (len(labels), channels, side, side)
    return PortableSet(
        images=torch.randint(256, shape, generator=rng, dtype=torch.uint8),
        labels=torch.tensor(labels),
        weights=torch.tensor([draw(WEIGHT) for _ in labels]),
        pixels="bytes",
        mean=tuple(draw(st.floats(0.1, 0.9)) for _ in range(channels)),
        std=tuple(draw(st.floats(0.05, 0.5)) for _ in range(channels)),
        rate=draw(st.none() | RATE),
        card={"classes": [f"c{i}" for i in range(classes)], "dataset": "d", "method": "m"},
    )


FORMS = [DDBenchSet(), DCTensors(), MTT, SRe2LFolders()]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(whole=sets())
def test_bytes_labels_weights_and_step_size_come_back_exactly(form, whole, tmp_path_factory):
    path = tmp_path_factory.mktemp("sets") / "set"
    if isinstance(form, SRe2LFolders):  # no place for a step size; images lie by class
        whole = replace(whole, rate=None).sort_by_class()
    form.write(whole, path)
    assert list(differences(whole, check_set(form.read(path), path))) == []
