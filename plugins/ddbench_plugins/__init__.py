"""Every part that comes with ddbench, one module each, registered like a stranger's.

Read a module from the bottom: the hook says what it provides, the class above says how. Imports
`ddbench.api` and `ddbench.hookimpl`, and nothing else of the harness.
"""
