import numpy as np
import pyarrow as pa
import pytest

from llm.tokens import arrow

TEXTS = ["naïve", "", "日本語 🙂", "plain"]


@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.int64, np.uint64])
def test_numbers_become_a_column_and_come_back_without_a_copy(kind):
    numbers = np.array([0, 7, np.iinfo(kind).max], kind)
    column = arrow.numbers(numbers)
    column.validate(full=True)
    assert column.equals(pa.array(numbers))
    numbers[1] = 9
    assert arrow.values(column[1:]).tolist() == numbers[1:].tolist()


def test_numbers_with_gaps_in_memory_are_those_of_the_array():
    assert arrow.numbers(np.arange(10)[::3]).to_pylist() == [0, 3, 6, 9]


def test_a_column_with_a_null_has_no_values():
    with pytest.raises(pa.ArrowException, match="null"):
        arrow.values(pa.array([1, None]))


@pytest.mark.parametrize("texts", [TEXTS, []])
def test_texts_become_a_column(texts):
    column = arrow.texts(texts)
    column.validate(full=True)
    assert column.equals(pa.array(texts, pa.large_string()))


def test_bytes_of_texts_are_counted_in_slices_too():
    column = pa.array(TEXTS, pa.large_string())
    sizes = [len(text.encode()) for text in TEXTS]
    assert arrow.text_bytes(column).tolist() == sizes
    assert arrow.text_bytes(column[1:3]).tolist() == sizes[1:3]
    assert arrow.text_bytes(column[:0]).tolist() == []
