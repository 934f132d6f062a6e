"""Numbers in few bytes: any come back, and bytes that are none are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.indexing.varints import pack, unpack


@given(st.lists(st.one_of(st.integers(0, 300), st.integers(0, (1 << 35) - 1)), max_size=20))
def test_any_numbers_come_back(numbers: list[int]) -> None:
    packed = pack(np.array(numbers, np.int64))
    assert unpack(packed).tolist() == numbers
    # LEB128 as it is written down.
    expected = bytearray()
    for number in numbers:
        while number >= 128:
            expected.append(number & 127 | 128)
            number >>= 7
        expected.append(number)
    assert packed.tobytes() == bytes(expected)


@pytest.mark.parametrize("number", [-1, 1 << 35])
def test_other_numbers_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match=r"2\*\*35"):
        pack(np.array([number]))


@pytest.mark.parametrize("damaged", [b"\x01\x80", b"\x80", b"\x80\x80\x80\x80\x80\x01\x01"])
def test_bytes_that_are_no_numbers_are_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut short|takes 6 bytes"):
        unpack(np.frombuffer(damaged, np.uint8))
