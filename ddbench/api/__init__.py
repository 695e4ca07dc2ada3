"""Everything that a plug-in may import: roles, what they are given and return, hooks, errors.

Lowest layer: it imports nothing else of ddbench. A plug-in imports this package and nothing else.
"""
