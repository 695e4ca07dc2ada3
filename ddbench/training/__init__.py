"""The one training loop, for teachers and students, its schedule and its batches.

Imports `nn`, `data` and what lies below them; knows nothing of cells and plans.
"""
