"""How fast the harness is, beside the bare network and beside a loop as the field writes it."""
