"""Every part that comes with ddbench, one module each, registered like a stranger's.

Read a module from the bottom: the hook says what it provides, the class above says how. Parts
import only the contracts of the harness (`ddbench.api.roles`, `types`, `spec`, `features`,
`reductions`, `errors` and `hookimpl`).
"""
