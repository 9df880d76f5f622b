"""Correction of p values for the number of comparisons in a declared family.

A family is declared before the results are known: the comparisons of a claim, or the columns of a
table. Comparisons outside of it do not change its verdicts. Standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence

LEVEL = 0.05


def holm(p_values: Sequence[float]) -> list[float]:
    """Return each p value after Holm's step-down correction over all of them.

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 1979.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    ascending = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, index in enumerate(ascending):
        remaining = len(p_values) - rank
        largest = max(largest, remaining * p_values[index])
        corrected[index] = min(1.0, largest)
    return corrected


def is_best(p: float, columns: int) -> bool:
    """Return whether the best row of a column is significantly above another row of it.

    The best row gets its mark if this holds for every other row of the column. The number of rows
    needs no correction, since the closest one decides. So another row in a table can prevent a mark
    only by being close to the best row itself.

    Parameters
    ----------
    p : float
        Two-sided p value of the row with the highest mean against the other row.
    columns : int
        Number of columns of the table, for Bonferroni's correction.

    References
    ----------
    Gutmann & Maymin, "Is the selected population the best?", Annals of Statistics 1987: the test
    against the second best row holds its level, although the same data select the best row.
    """
    return p * columns < LEVEL
