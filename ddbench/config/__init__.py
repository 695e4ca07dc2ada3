"""From words to cells: flags, suite files, options and profiles.

Imports `pipeline` and what lies below it; computes nothing.
"""
