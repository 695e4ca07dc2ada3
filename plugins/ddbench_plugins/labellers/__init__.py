"""Labels: what students are told about the images that they see.

Imports `ddbench.api` alone; files named `_name.py` serve the others of their folder.
"""
