"""The machine that a number is computed on: devices, memory, cost, progress, seeds, versions.

Imports `ddbench.api` alone; knows neither cells nor stages.
"""
