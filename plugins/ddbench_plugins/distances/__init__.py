"""Distances between clouds of points: optimal transport, sliced transport, MMD.

Imports `ddbench.api` alone; files named `_name.py` serve the others of their folder.
"""
