"""Drawings stay within their frame; ticks are few and labels apart."""

from __future__ import annotations

import math
import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.reporting.report.drawing import _choose_ticks, draw_plot
from tests.doubles.plots import plot, point


def test_a_frontier_rises_to_the_right_in_the_picture():
    made = draw_plot(plot([point(10, 20), point(100, 50), point(1000, 40)], frontier=True))
    steps = re.fullmatch(r"M([\d.]+) ([\d.]+) H([\d.]+) V([\d.]+)", made.frontier)
    assert steps
    x0, y0, x1, y1 = map(float, steps.groups())
    assert x0 < x1
    assert y0 > y1  # SVG counts downwards


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(1e-3, 1e12), st.floats(0, 100)), min_size=1, max_size=9))
def test_everything_is_drawn_within_the_frame(found):
    made = draw_plot(plot([point(x, y) for x, y in found], frontier=True))
    for dot in made.series[0].dots:
        assert made.left <= dot.x <= made.right
        assert made.top <= dot.y <= made.bottom
    for tick in made.x_ticks:
        assert made.left - 1e-6 <= tick.place <= made.right + 1e-6
    for label in made.labels:
        assert 0 <= label.x <= made.width


@settings(deadline=None, max_examples=40)
@given(st.floats(1e-6, 1e12), st.floats(1.5, 1e6))
def test_ticks_are_few_and_in_range(low, ratio):
    ticks = _choose_ticks(low, low * ratio)
    assert 2 <= len(ticks) <= 8
    assert all(low <= tick <= low * ratio for tick in ticks)
    assert ticks == sorted(ticks)


def test_labels_do_not_lie_on_each_other():
    rng = random.Random(0)
    points = [point(math.exp(rng.uniform(0, 4)), rng.uniform(0, 99), "a method's name")
              for _ in range(30)]  # fmt: skip
    labels = draw_plot(plot(points, frontier=True)).labels
    assert labels
    boxes = [(la.x - (90 if la.anchor == "end" else 0), la.y) for la in labels]
    for i, (x, y) in enumerate(boxes):
        assert not [b for b in boxes[:i] if abs(b[0] - x) < 90 and abs(b[1] - y) < 12]
