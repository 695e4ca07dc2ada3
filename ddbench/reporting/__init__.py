"""From records to what people read: tables, pages, plots, verdicts.

Imports `config` and what lies below it; `tables` and `render` know records alone, never torch.
"""
