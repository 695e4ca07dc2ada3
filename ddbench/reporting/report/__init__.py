"""Records -> one HTML page that needs nothing else: tables, plots, pictures, commands.

Imports `ddbench.reporting`'s tables, `store` and `api`; what draws images is imported late, since
it needs torch.
"""

from __future__ import annotations

from ddbench.reporting.report.page import Page, make_page, to_html

__all__ = ["Page", "make_page", "to_html"]
