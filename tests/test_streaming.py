"""Tiles from outside: the recurrence against a machine that goes cycle by cycle."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hw_model.streaming import LineSource, streamed_cycles


def walked(blocks: int, tile_lines: int, joints: int, source: LineSource) -> int:
    """Cycles until the last operation, every cycle walked: two buffers, one request at a time."""
    cycle, asked, came, done, worked = 0, 0, 0, 0, 0
    arrives: list[int] = []  # cycles in which lines of the tile on its way come
    while True:
        ready = came > done  # what registers say in this cycle
        may_ask = not arrives and asked < blocks and asked < done + 2
        if may_ask:
            asked += 1
            first = cycle + source.latency
            arrives = [first + line * source.interval for line in range(tile_lines)]
        if ready:
            worked += 1
        if arrives and arrives[-1] == cycle:
            arrives = []
            came += 1
        if worked == joints * tile_lines:
            worked = 0
            done += 1
        cycle += 1
        if done == blocks:
            return cycle


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 7),
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(1, 6),
)
def test_cycles_of_streamed_weights_walked(
    blocks: int, tile_lines: int, joints: int, latency: int, interval: int
) -> None:
    source = LineSource(latency, interval)
    found = streamed_cycles(blocks, tile_lines, joints, source)
    assert found == walked(blocks, tile_lines, joints, source)


def test_a_fast_source_costs_the_first_tile_alone() -> None:
    assert streamed_cycles(4, 10, 3, LineSource(1, 1)) == 11 + 4 * 30
    # four cycles a line, three joints: each further tile takes 10 cycles longer than the work
    assert streamed_cycles(4, 10, 3, LineSource(1, 4)) == 38 + 3 * 38 + 30
