"""Layouts in which distilled sets are read and written.

Imports `ddbench.api` alone; files named `_name.py` serve the others of their folder.
"""
