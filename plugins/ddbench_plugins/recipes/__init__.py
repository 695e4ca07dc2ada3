"""Methods: parts with their settings, as functions of data set and images per class.

Imports `ddbench.api` alone; files named `_name.py` serve the others of their folder.
"""
