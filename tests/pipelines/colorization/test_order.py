import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcadia.errors import UserError
from pipelines.colorization.order import Order, Place, Position, num_streams_for

ROWS = [5, 3, 8, 1, 7, 4]  # 28


def make(rows=ROWS, batch_size=8, num_streams=4, seed=1) -> Order:
    return Order(rows, batch_size=batch_size, num_streams=num_streams, seed=seed)


def epoch(order: Order, number: int, streams: range | None = None) -> list[list[Place]]:
    batches = order.batches(streams or range(order.num_streams), Position(epoch=number))
    return [rows for _, rows in itertools.islice(batches, order.num_batches)]


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.integers(1, 9), min_size=1, max_size=20),
    streams=st.sampled_from([1, 2, 4]),
    per_stream=st.integers(1, 3),
    number=st.integers(0, 3),
)
def test_an_epoch_takes_each_row_once_but_for_less_than_a_batch_and_a_row_a_stream(
    rows, streams, per_stream, number
):
    if sum(rows) // streams < per_stream:
        return
    order = make(rows, streams * per_stream, streams)
    taken = [place for batch in epoch(order, number) for place in batch]
    assert max(Counter(taken).values()) == 1
    assert all(0 <= place.row < rows[place.group] for place in taken)
    assert sum(rows) - len(taken) < streams * per_stream + streams
    assert len(taken) == order.num_batches * streams * per_stream


def test_epochs_differ_in_their_order_and_in_what_is_left_over():
    order = make()
    first, second = epoch(order, 0), epoch(order, 1)
    assert order.num_batches == 3 and first != second
    left = [
        {Place(g, r) for g, n in enumerate(ROWS) for r in range(n)} - set(itertools.chain(*batches))
        for batches in (first, second)
    ]
    assert len(left[0]) == len(left[1]) == 4 and left[0] != left[1]
    assert epoch(make(seed=2), 0) != first and epoch(make(), 0) == first


@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_a_batch_holds_the_same_rows_for_any_number_of_workers(num_workers):
    order = make()
    parts = [epoch(order, 0, order.streams_of(w, num_workers)) for w in range(num_workers)]
    joined = [list(itertools.chain(*batch)) for batch in zip(*parts, strict=True)]
    assert joined == epoch(order, 0)


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_going_on_from_a_position_repeats_and_misses_nothing(batch):
    order = make()
    whole = list(itertools.islice(order.batches(range(4), Position()), 7))
    position = Position(epoch=1, batch=batch)
    rest = list(itertools.islice(order.batches(range(4), position), 4 - batch))
    assert rest == whole[3 + batch :]


def test_positions_count_batches_and_then_epochs():
    order, position, seen = make(), Position(), []
    for _ in range(5):
        seen.append((position.epoch, position.batch))
        position = order.next(position)
    assert seen == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert [p for p, _ in itertools.islice(order.batches(range(1), Position()), 5)] == [
        Position(epoch=e, batch=b) for e, b in seen
    ]


def test_what_is_done_to_a_picture_is_its_own_in_each_epoch():
    order = make()
    draws = [
        order.picture_rng(*key).integers(2**60)
        for key in ((0, Place(1, 2)), (0, Place(2, 1)), (1, Place(1, 2)), (0, Place(1, 2)))
    ]
    assert draws[0] == draws[3] and len(set(draws)) == 3


@pytest.mark.parametrize(
    ("batch_size", "num_workers", "streams"),
    [(128, 1, 8), (128, 2, 8), (128, 16, 16), (12, 3, 6), (9, 3, 3), (7, 1, 1), (6, 2, 2)],
)
def test_streams_share_out_the_batch_and_the_workers(batch_size, num_workers, streams):
    assert num_streams_for(batch_size, num_workers) == streams


def test_what_cannot_be_shared_out_is_told():
    with pytest.raises(UserError, match=r"batch_size 10: .* of the 4 workers, such as 8"):
        num_streams_for(10, 4)
    with pytest.raises(UserError, match="batch_size 64: there are 28 pictures to train on"):
        make(batch_size=64)
