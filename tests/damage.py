"""Damaged files."""

from hypothesis import strategies as st


def changed(whole, changes):
    content = bytearray(whole)
    for position, byte in changes.items():
        content[position : position + 1] = bytes([byte])
    return bytes(content)


def damaged(whole):
    """Return a strategy of `whole` with bytes changed, a piece cut out, or its end missing."""
    positions = st.integers(0, max(len(whole) - 1, 0))
    return st.one_of(
        st.dictionaries(positions, st.integers(0, 255), min_size=1, max_size=8).map(
            lambda changes: changed(whole, changes)
        ),
        st.tuples(positions, positions).map(lambda cut: whole[: min(cut)] + whole[max(cut) :]),
        st.binary(max_size=60),
    )
