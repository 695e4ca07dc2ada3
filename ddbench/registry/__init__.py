"""Which plug-ins are installed, the parts that they provide, and who is told what happens.

Imports `ddbench.api` and `ddbench.store`; everything above asks it for parts by name.
"""

from ddbench.registry.forms import ROLES
from ddbench.registry.loading import GROUP, RESTRICT, load, normal
from ddbench.registry.observers import OBSERVERS, fault_of, tell
from ddbench.registry.parts import KINDS, PART_NAME, SHOWN_AS, Plugin, Registry

__all__ = [
    "GROUP",
    "KINDS",
    "OBSERVERS",
    "PART_NAME",
    "RESTRICT",
    "ROLES",
    "SHOWN_AS",
    "Plugin",
    "Registry",
    "fault_of",
    "load",
    "normal",
    "tell",
]
