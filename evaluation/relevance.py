"""Relevance of database items to queries, in memory linear in the queries plus the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numba
import numpy as np

from .errors import EvaluationError

# All cores, or the environment variable of that name. Numba sets it when it is imported.
THREADS: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
QUERIES = 64  # queries that a thread processes at a time
SMALL = 2**16  # up to this number of distinct labels or groups, counting replaces sorting


@dataclass(frozen=True)
class Relevance:
    """Which items are relevant: those with the query's label, or with a label in common.

    Items with the same label, or the same set of labels, form a group. A query is compared with
    the G groups instead of the N items.

    Attributes
    ----------
    single : bool
        True if each item has exactly one label.
    queries : ndarray, shape (W, Q)
        Label of each query as int64 (W = 1), or its set of labels as uint64 words.
    groups : ndarray, shape (W, G)
        The same for each group.
    members : ndarray of int64, shape (N,)
        Group of each database item.
    order : ndarray of int64, shape (N,)
        Database indices, sorted by group.
    starts : ndarray of int64, shape (G + 1,)
        Position in `order` at which each group starts.
    """

    single: bool
    queries: np.ndarray
    groups: np.ndarray
    members: np.ndarray
    order: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, query_labels: np.ndarray, database_labels: np.ndarray) -> Relevance:
        """Return the relevance of labelled items to labelled queries.

        Parameters
        ----------
        query_labels : ndarray of int, shape (Q,), or of bool, shape (Q, classes)
            Labels of the queries.
        database_labels : ndarray of int, shape (N,), or of bool, shape (N, classes)
            Labels of the database.

        Raises
        ------
        EvaluationError
            If the labels have another type, a label is negative, or the two shapes differ in kind.
        """
        single = _is_single("query", query_labels)
        if (
            _is_single("database", database_labels) != single
            or query_labels.shape[1:] != database_labels.shape[1:]
        ):
            raise EvaluationError(
                f"labels are {query_labels.shape} for queries, {database_labels.shape} for the "
                "database: expected one kind, (n,) or (n, classes)"
            )
        if not len(query_labels) or not len(database_labels):
            raise EvaluationError(
                f"{len(query_labels)} queries, {len(database_labels)} database items: "
                "expected at least one of each"
            )

        groups, members = _distinct(_label_words(database_labels))
        starts = np.concatenate([[0], np.cumsum(np.bincount(members))])
        # NumPy sorts 16-bit integers in linear time.
        keys = members.astype(np.uint16) if len(starts) <= SMALL else members
        order = np.argsort(keys, kind="stable")
        return cls(single, _label_words(query_labels), groups, members, order, starts)

    def shared(self, part: slice) -> np.ndarray:
        """Return the number of labels each group shares with a query, uint16 (C, G).

        `part` selects C queries.
        """
        counts = []
        for queries, groups in zip(self.queries[:, part], self.groups, strict=True):
            if self.single:
                counts.append(queries[:, None] == groups)
            else:
                counts.append(np.bitwise_count(queries[:, None] & groups))
        shared: np.ndarray = np.add.reduce(counts, axis=0, dtype=np.uint16)
        return shared

    def of_queries(self, part: slice) -> np.ndarray:
        """Return whether each group is relevant to a query, bool (C, G)."""
        return self.shared(part) > 0

    def shared_by_items(self, query: int) -> np.ndarray:
        """Return the number of labels each database item shares with a query, uint16 (N,)."""
        return self.shared(slice(query, query + 1))[0, self.members]

    def most_shared(self) -> int:
        """Return the largest number of labels that a query shares with an item."""
        return max(int(self.shared(part).max()) for part in parts(self.queries.shape[1]))

    def most_labels(self) -> int:
        """Return the largest number of labels of a query."""
        return 1 if self.single else int(np.bitwise_count(self.queries).sum(axis=0).max())

    def label_words(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Return labels as words for the planes of the fast kernel.

        With several labels per item, each bit is a label. Otherwise a word is the number of a
        label from 1 on, and all labels missing in the database have one number. 0 is no label.

        Returns
        -------
        of_queries : ndarray of uint64, shape (W, Q)
            Words of the queries.
        of_items : ndarray of uint64, shape (W, N)
            Words of the database.
        bits : int
            Number of bits in use.
        """
        if not self.single:
            of_queries, of_groups = self.queries, self.groups
        else:
            labels, count = self.groups[0], len(self.groups[0])  # sorted
            index = np.searchsorted(labels, self.queries[0])
            present = labels[np.minimum(index, count - 1)] == self.queries[0]
            of_queries = np.where(present, index + 1, count + 1)[None]
            of_groups = np.arange(1, count + 1)[None]

        last_bits = max(int(rows[-1].max()).bit_length() for rows in (of_queries, of_groups))
        bits = 64 * (len(of_queries) - 1) + last_bits
        of_items = np.take(of_groups.astype(np.uint64), self.members, axis=1)
        return of_queries.astype(np.uint64), of_items, bits

    def totals(self) -> np.ndarray:
        """Return R, the number of relevant items of each query, int64 (Q,)."""
        sizes = np.diff(self.starts)
        counts = [self.of_queries(part) @ sizes for part in parts(self.queries.shape[1])]
        return np.concatenate(counts)

    def evaluated(self) -> tuple[np.ndarray, Relevance]:
        """Return the indices of the queries with R > 0, and the relevance to these queries.

        Every metric averages over these queries.

        Returns
        -------
        indices : ndarray of int64, shape (Q',)
            Indices of the queries.
        relevance : Relevance
            Relevance to these queries.

        Raises
        ------
        EvaluationError
            If no query has a relevant item.
        """
        indices = np.flatnonzero(self.totals())
        if not len(indices):
            raise EvaluationError(
                "no query has a relevant item in the database: expected labels in common. "
                "Check the labels and the split"
            )
        return indices, replace(self, queries=np.ascontiguousarray(self.queries[:, indices]))


def parts(queries: int, size: int = QUERIES) -> Iterator[slice]:
    """Yield slices of `size` queries: the work unit of a thread, which bounds its memory."""
    return (slice(start, min(start + size, queries)) for start in range(0, queries, size))


def shares(rows: int) -> Iterator[slice]:
    """Yield slices of equal size, one for each thread."""
    return parts(rows, max(1, -(-rows // THREADS)))


def words(packed: np.ndarray) -> np.ndarray:
    """Return bytes uint8 (n, width) as words uint64 (W, n), zero-padded.

    Each row holds one word of every item, so that loops over items read contiguous memory.
    """
    padded = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return np.ascontiguousarray(padded.view(np.uint64).T)


def _is_single(which: str, labels: np.ndarray) -> bool:
    """Return whether each item has exactly one label."""
    if labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer):
        _refuse_negative(which, labels)
        return True
    if labels.ndim == 2 and labels.dtype == bool and labels.shape[1]:
        return False

    raise EvaluationError(
        f"{which} labels are {labels.dtype} {labels.shape}: "
        "expected integers (n,) or bool (n, classes)"
    )


def _refuse_negative(which: str, labels: np.ndarray) -> None:
    """Raise EvaluationError for negative labels, which mark items without a class elsewhere."""
    negative = int(np.sum(labels < 0))
    if negative:
        raise EvaluationError(
            f"{negative} of {len(labels)} {which} labels are negative, the first is "
            f"{labels[labels < 0][0]}: expected class numbers from 0. If -1 marks items without a "
            "class, leave these items out: ignore_label=-1, or codes[labels >= 0], "
            "labels[labels >= 0]"
        )


def _label_words(labels: np.ndarray) -> np.ndarray:
    """Return labels as int64 (1, n), or sets of labels as uint64 words (W, n)."""
    return labels.astype(np.int64)[None] if labels.ndim == 1 else words(np.packbits(labels, axis=1))


def _distinct(sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct columns (W, G) of `sets` (W, n), and the index of each, int64 (n,)."""
    if len(sets) > 1:
        groups, members = np.unique(sets, axis=1, return_inverse=True)
        return groups, members.ravel()

    row, lowest = sets[0], int(sets.min())
    if int(row.max()) - lowest >= SMALL:
        groups, members = np.unique(row, return_inverse=True)
        return groups[None], members

    offsets = (row - row.dtype.type(lowest)).astype(np.int64)
    present = np.bincount(offsets) > 0
    groups = (np.flatnonzero(present) + lowest).astype(row.dtype)
    return groups[None], (np.cumsum(present) - 1)[offsets]
