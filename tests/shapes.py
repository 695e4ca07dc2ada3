"""The type checker of the tests: beartype, for which a whole number will do for a float.

The test options name it (`--jaxtyping-packages=ddbench.api,…,shapes.check`): types and shapes in
every signature of the packages that hold tensors are checked while tests run. A module of its own,
because jaxtyping splits the option at commas and so takes no configured checker for two packages.
"""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
