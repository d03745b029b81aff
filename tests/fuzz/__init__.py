"""Random calls of the public functions, held against the oracle: ``python -m tests.fuzz`` (or ``make fuzz``).

A call is a function of a seed and its number alone, so that each can be repeated by itself.
"""
