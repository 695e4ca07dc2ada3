"""Penalties that keep synthetic images plausible.

Imports `ddbench.api` alone; files named `_name.py` serve the others of their folder.
"""
