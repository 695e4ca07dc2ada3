"""The seven stages of a cell, one file each: what a stage sees is what its key hashes.

Imports `ddbench.pipeline.specs`, `training` and what lies below it; knows neither cells nor plans.
"""
