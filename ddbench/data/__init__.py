"""Real data sets, decoded and described; distilled sets, read and written.

Imports `api`, `store`, `runtime` and `registry`; knows nothing of training.
"""
