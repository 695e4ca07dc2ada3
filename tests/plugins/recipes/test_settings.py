"""Settings that a script has for a size hold at that size, not for the same data set at another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ddbench.reporting.method_page import PLACES, render_method_page
from ddbench.testing import tiny_info
from ddbench_plugins.recipes._settings import find_script


def sized(name: str, pixels: int):
    return replace(tiny_info(pixels=pixels), name=name)


@pytest.mark.parametrize(
    ("name", "pixels", "expected"),
    [
        ("tiny_imagenet", 64, "tiny_imagenet"), ("tiny_imagenet@224", 224, ""),
        ("tiny_imagenet@32", 32, ""), ("cifar100", 32, "cifar100"), ("cifar100@64", 64, ""),
        ("cifar10@8", 8, ""), ("imagenet1k", 224, "imagenet1k"),
        ("imagenet1k@128", 128, "imagenet1k"), ("imagenet1k@64", 64, ""), ("imagenette", 224, ""),
    ],
)  # fmt: skip
def test_a_script_is_of_a_size(name, pixels, expected):
    assert find_script(sized(name, pixels)) == expected


@pytest.mark.parametrize("method", ["sre2l", "cda", "scdd", "g_vbsm", "edc", "edc_one_teacher"])
@pytest.mark.parametrize("family", ["tiny_imagenet", "cifar100"])
@pytest.mark.parametrize("pixels", [8, 224])
def test_at_other_sizes_a_data_set_is_one_of_many(registry, method, family, pixels):
    """Whatever is not of the size that a script was written for has the settings of all others."""
    make = registry.get("recipe", method)
    found = make(sized(f"{family}@{pixels}", pixels), 10)
    usual = make(sized(f"imagenette@{pixels}", pixels), 10)
    for part in ("distiller", "regularizers", "labeller", "squeeze", "companions"):
        assert getattr(found, part) == getattr(usual, part), part


def test_tiny_imagenet_keeps_the_scripts_settings_at_64_pixels(registry):
    recipes = {m: registry.get("recipe", m)(sized("tiny_imagenet", 64), 50)
               for m in ("sre2l", "cda", "scdd", "g_vbsm", "edc")}  # fmt: skip
    told = {m: (r.distiller.iterations, r.distiller.lr, tuple(r.distiller.roll),
                r.regularizers[0].weight) for m, r in recipes.items()}  # fmt: skip
    assert told == {
        "sre2l": (4000, 0.1, (-4, 4), 1.0), "cda": (4000, 0.4, (0, 4), 0.05),
        "scdd": (4000, 0.6, (-4, 4), 1.0), "g_vbsm": (4000, 0.05, (-8, 8), 0.01),
        "edc": (2000, 0.05, (0, 0), 0.005),
    }  # fmt: skip
    assert recipes["scdd"].squeeze.lr == 0.06


def test_pages_show_tiny_imagenet_at_the_papers_size_too(registry):
    """The WMDD paper's figures for it are of 224 pixels."""
    assert ("tiny_imagenet@224", 224, 200) in [place[:3] for place in PLACES]
    rows = [
        r for r in render_method_page("sre2l", registry).splitlines() if "tiny_imagenet@224" in r
    ]
    assert [row.split(" | ")[1:3] for row in rows] == [["4000", "0.25"]]
