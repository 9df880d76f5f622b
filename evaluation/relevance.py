"""Which database items are relevant to which query, in memory that grows with the database plus the queries, never with their product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numba
import numpy as np

from harness.errors import BenchmarkError

THREADS = numba.config.NUMBA_NUM_THREADS  # all cores, or the environment variable of that name
QUERIES = 64  # queries that a thread takes at a time
SMALL = 2**16  # up to so many labels, or groups, are sorted by counting


@dataclass(frozen=True)
class Relevance:
    """Relevant are the items with the query's label or, with several labels an item, those that share at least one.

    The items that carry the same label, or the same set of labels, are a group: a query is compared with each group, not with each item.

    single: one label an item; queries (W, Q), groups (W, G): that label as int64 (W = 1), or the set of labels as uint64 words;
    members (N,) int64: the group of each database item; order (N,) int64: database indices, group by group;
    starts (G + 1,) int64: where each group starts in `order`.
    """

    single: bool
    queries: np.ndarray
    groups: np.ndarray
    members: np.ndarray
    order: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, query_labels: np.ndarray, database_labels: np.ndarray) -> Relevance:
        """Labels are integers (Q,) and (N,), or bool (Q, classes) and (N, classes). Raises BenchmarkError for anything else."""
        single = _single("query", query_labels)
        if _single("database", database_labels) != single or query_labels.shape[1:] != database_labels.shape[1:]:
            raise BenchmarkError(
                f"labels are {query_labels.shape} for queries, {database_labels.shape} for the database: expected one kind"
            )
        if not len(query_labels) or not len(database_labels):
            raise BenchmarkError(f"{len(query_labels)} queries, {len(database_labels)} database items: expected at least one of each")
        groups, members = _distinct(_sets(database_labels))
        starts = np.concatenate([[0], np.cumsum(np.bincount(members))])
        # NumPy sorts 16-bit integers in linear time.
        order = np.argsort(members.astype(np.uint16) if len(starts) <= SMALL else members, kind="stable")
        return cls(single, _sets(query_labels), groups, members, order, starts)

    def shared(self, part: slice) -> np.ndarray:
        """uint16 (queries of `part`, G): the number of labels that a group shares with a query."""
        rows = zip(self.queries[:, part], self.groups, strict=True)
        if self.single:
            return np.sum([queries[:, None] == groups for queries, groups in rows], axis=0, dtype=np.uint16)
        return np.sum([np.bitwise_count(queries[:, None] & groups) for queries, groups in rows], axis=0, dtype=np.uint16)

    def of_queries(self, part: slice) -> np.ndarray:
        """bool (queries of `part`, G): whether a group is relevant to a query."""
        return self.shared(part) > 0

    def shared_by_items(self, query: int) -> np.ndarray:
        """uint16 (N,): the number of labels that a database item shares with the query."""
        return self.shared(slice(query, query + 1))[0, self.members]

    def most_shared(self) -> int:
        """The largest number of labels that a query shares with an item."""
        return max(int(self.shared(part).max()) for part in parts(self.queries.shape[1]))

    def most_labels(self) -> int:
        """The largest number of labels of a query."""
        return 1 if self.single else int(np.bitwise_count(self.queries).sum(axis=0).max())

    def label_words(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Labels as uint64 words (W, Q) of the queries and (W, N) of the database, 0 being no label, and the number of their bits.

        With several labels an item, a bit is a label; else the words count the labels of the database, and those it does not have are one.
        """
        if not self.single:
            found, of_groups = self.queries, self.groups
        else:
            places = np.searchsorted(self.groups[0], self.queries[0])
            there = self.groups[0][np.minimum(places, len(self.groups[0]) - 1)] == self.queries[0]
            found, of_groups = np.where(there, places + 1, len(self.groups[0]) + 1)[None], np.arange(1, len(self.groups[0]) + 1)[None]
        bits = max(int(rows[-1].max()).bit_length() for rows in (found, of_groups))
        bits += 64 * (len(found) - 1)
        return found.astype(np.uint64), np.take(of_groups.astype(np.uint64), self.members, axis=1), bits

    def totals(self) -> np.ndarray:
        """int64 (Q,): R, the number of relevant items of each query."""
        sizes = np.diff(self.starts)
        return np.concatenate([self.of_queries(part) @ sizes for part in parts(self.queries.shape[1])])

    def evaluated(self) -> tuple[np.ndarray, Relevance]:
        """Indices (int64) of the queries with R > 0, over which every metric is averaged, and the relevance of those alone.

        Raises BenchmarkError if there is none.
        """
        kept = np.flatnonzero(self.totals())
        if not len(kept):
            raise BenchmarkError("no query has a relevant item in the database: expected labels in common; check the labels and the split")
        return kept, replace(self, queries=np.ascontiguousarray(self.queries[:, kept]))


def parts(queries: int, size: int = QUERIES) -> Iterator[slice]:
    """Slices of `size` queries: the unit of work of a thread, and the bound of its memory."""
    return (slice(start, min(start + size, queries)) for start in range(0, queries, size))


def shares(rows: int) -> Iterator[slice]:
    """Slices of equal size, one a thread."""
    return parts(rows, max(1, -(-rows // THREADS)))


def _single(which: str, labels: np.ndarray) -> bool:
    """Whether an item has exactly one label."""
    if labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer):
        return True
    if labels.ndim == 2 and labels.dtype == bool and labels.shape[1]:
        return False
    raise BenchmarkError(f"{which} labels are {labels.dtype} {labels.shape}: expected integers (n,) or bool (n, classes)")


def _sets(labels: np.ndarray) -> np.ndarray:
    return labels.astype(np.int64)[None] if labels.ndim == 1 else words(np.packbits(labels, axis=1))


def words(packed: np.ndarray) -> np.ndarray:
    """Bytes uint8 (n, width) as uint64 (W, n), zero-padded: one row a word, so that the words of neighbours are neighbours in memory."""
    padded = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return np.ascontiguousarray(padded.view(np.uint64).T)


def _distinct(sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct columns (W, G) of `sets` (W, n), and the place of each column among them, int64 (n,)."""
    if len(sets) > 1:
        groups, members = np.unique(sets, axis=1, return_inverse=True)
        return groups, members.ravel()
    row, lowest = sets[0], int(sets.min())
    if int(row.max()) - lowest >= SMALL:
        groups, members = np.unique(row, return_inverse=True)
        return groups[None], members
    offsets = (row - row.dtype.type(lowest)).astype(np.int64)
    present = np.bincount(offsets) > 0
    return (np.flatnonzero(present) + lowest).astype(row.dtype)[None], (np.cumsum(present) - 1)[offsets]
