"""Ways to train a teacher's backbone without labels.

Imports `ddbench.api` alone; files named `_name.py` serve the others of their folder.
"""
