"""Real data sets: classes, normalisation, fingerprint and images.

Imports `ddbench.api` alone; files named `_name.py` serve the others of their folder.
"""
