"""Networks for teachers and students, each with the name of its classifier.

Imports `ddbench.api` alone; files named `_name.py` serve the others of their folder.
"""
