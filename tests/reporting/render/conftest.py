"""A leaderboard to draw."""

from __future__ import annotations

import pytest

from ddbench.reporting.tables import choose_views
from ddbench.reporting.tables.views import View
from tests.doubles.views import records


@pytest.fixture
def board() -> View:
    return choose_views(records())[0]
