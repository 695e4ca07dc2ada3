"""Files on disk, whole or not there: keys, the cache of artifacts, records, single files.

Imports `ddbench.api` alone, and may be imported by everything above.
"""
