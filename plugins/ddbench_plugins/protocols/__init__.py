"""Frozen ways to train and judge a student, one TOML file each.

Imports `ddbench.api` alone; files named `_name.py` serve the others of their folder.
"""
