"""The exception of the library."""


class EvaluationError(ValueError):
    """Raise for arrays, metrics or cuts that cannot be evaluated. The message fits on one line."""
