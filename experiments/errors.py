"""Errors that a user can cause: every job prints them as one line."""

from __future__ import annotations

import evaluation
from harness.errors import BenchmarkError

# `evaluation` is a library of its own with its own class of errors.
USER_ERRORS = (BenchmarkError, getattr(evaluation, "EvaluationError", BenchmarkError))
