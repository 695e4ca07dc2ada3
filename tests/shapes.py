"""The type checker of the tests: beartype, for which a whole number will do for a float.

`pytest --jaxtyping-packages=ddbench,ddbench_plugins,shapes.check` checks the types and shapes in
every signature of both packages while tests run. A module of its own, because jaxtyping splits the
option at commas and so takes no configured checker for two packages.
"""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
