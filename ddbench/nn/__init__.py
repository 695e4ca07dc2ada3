"""Networks: built, probed, and their layers made faster without other numbers.

Imports `api`, `store`, `runtime` and `registry`; knows nothing of data on disk.
"""
