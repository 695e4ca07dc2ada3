"""Metrics that are read off a finished student or a distilled set.

Imports `ddbench.api` alone; files named `_name.py` serve the others of their folder.
"""
