"""From a cell to its record: planned into stages, made or found in the cache, judged.

Imports `training` and what lies below it; knows nothing of flags, suites and tables.
"""
