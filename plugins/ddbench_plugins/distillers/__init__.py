"""Ways to make the images: optimised through teachers or fresh networks, or chosen.

Imports `ddbench.api` alone; files named `_name.py` serve the others of their folder.
"""
