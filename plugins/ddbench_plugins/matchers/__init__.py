"""Losses that pull synthetic features towards those of real images.

Imports `ddbench.api` alone; files named `_name.py` serve the others of their folder.
"""
