"""Figures of the WMDD paper: `python -m benchmarks.figures figure1 --folder FOLDER`."""
