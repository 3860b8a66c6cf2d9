"""Exchange with other libraries by DLPack: the same memory, in both directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.errors import BackendError, DtypeError


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32, np.bool_])
def test_numpy_and_back_is_the_same_memory(dtype: type) -> None:
    a = np.arange(6).reshape(2, 3).astype(dtype)
    t = ts.from_dlpack(a)
    assert t.dtype == dtype
    assert np.shares_memory(t.value, a)
    assert not t.requires_grad
    back = np.from_dlpack(t)
    assert np.shares_memory(back, a)
    np.testing.assert_array_equal(back, a)


def test_strides_are_kept() -> None:
    a = np.arange(12.0).reshape(3, 4).T[1:]
    t = ts.from_dlpack(a)
    np.testing.assert_array_equal(t.numpy(), a)
    assert np.shares_memory(t.value, a)


@pytest.mark.parity
def test_pytorch_and_back_is_the_same_memory() -> None:
    torch = pytest.importorskip("torch")
    a = torch.arange(6.0).reshape(2, 3)
    t = ts.from_dlpack(a)
    assert t.value.ctypes.data == a.data_ptr()
    y = (t * 2.0).sum()
    assert y.item() == 30.0
    out = ts.tanh(t)
    b = torch.from_dlpack(out)
    assert b.data_ptr() == out.value.ctypes.data
    torch.testing.assert_close(b, torch.tanh(a))
    again = torch.from_dlpack(t)
    assert again.data_ptr() == a.data_ptr()


@pytest.mark.parity
def test_what_pytorch_cannot_share_is_refused_with_the_way_out() -> None:
    torch = pytest.importorskip("torch")
    for refused in (torch.ones(2, requires_grad=True), torch.ones(2, dtype=torch.bfloat16)):
        with pytest.raises(DtypeError, match="cannot be shared") as caught:
            ts.from_dlpack(refused)
        assert "ts.tensor" in caught.value.fix
    with pytest.raises(DtypeError, match="not numbers"):
        ts.from_dlpack(torch.ones(2, dtype=torch.complex64))


def test_what_is_no_array_or_nowhere_is_refused() -> None:
    with pytest.raises(DtypeError, match="not an array"):
        ts.from_dlpack([1.0, 2.0])

    class Elsewhere:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 7, 0  # Vulkan

    with pytest.raises(BackendError, match="no backend for this device"):
        ts.from_dlpack(Elsewhere())


@pytest.mark.gpu
def test_cupy_and_pytorch_on_the_device() -> None:
    cupy = pytest.importorskip("cupy")
    a: Any = cupy.arange(6, dtype=cupy.float32).reshape(2, 3)
    t = ts.from_dlpack(a)
    assert t.backend.name == "cupy"
    assert t.value.data.ptr == a.data.ptr
    assert cupy.from_dlpack(t).data.ptr == a.data.ptr
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        there = torch.from_dlpack(t)
        assert there.data_ptr() == a.data.ptr
        assert ts.from_dlpack(there).value.data.ptr == a.data.ptr
