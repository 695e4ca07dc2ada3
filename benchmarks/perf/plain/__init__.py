"""The same work as a method's own scripts do it: fp32, contiguous, hooks, separate passes, files.

Written anew, in this project's words, after the habits of the released codes of the SRe2L family;
what is computed equals what the harness computes, and tests say so.
"""
