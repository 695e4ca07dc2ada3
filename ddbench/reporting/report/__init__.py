"""Records -> one HTML page that needs nothing else: tables, plots, pictures, commands."""

from __future__ import annotations

from ddbench.reporting.report.page import Page, make_page, to_html

__all__ = ["Page", "make_page", "to_html"]
