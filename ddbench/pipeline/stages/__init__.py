"""The seven stages of a cell, one file each: what a stage sees is what its key hashes."""
