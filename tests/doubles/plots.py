"""Plots made up for drawing."""

from __future__ import annotations

from ddbench.reporting.report.plots import Plot, Point, Series


def point(x: float, y: float, name: str = "") -> Point:
    return Point(x=x, y=y, sd=1.0, label=name or f"{x}, {y}", row="row")


def plot(points: list[Point], **options) -> Plot:
    series = (Series(name="IPC 1", points=tuple(points)),)
    return Plot(name="p", title="t", x_title="seconds", series=series, **options)
