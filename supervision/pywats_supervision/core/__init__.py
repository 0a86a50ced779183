"""The decisions of a supervisor: reports in, actions out; no trio, no clock, no chance, no logging."""

__all__: tuple[str, ...] = ()
