"""The format of CTranslate2's model.bin, read without CTranslate2: named arrays, one after another.

    version u32 | kind TEXT | revision u32 | count u32 | count x (name TEXT | rank u8 | rank x length u32 | dtype u8 |
    size in bytes u32 | numbers) | count u32 | count x (alias TEXT | name TEXT)

TEXT is its length with the final NUL, u16, then the bytes; everything is little-endian.
Source: `serialize` of ctranslate2/specs/model_spec.py in https://github.com/OpenNMT/CTranslate2.
"""

import struct

import numpy as np

DTYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)


class Reader:
    """Reads one thing after another from some bytes."""

    def __init__(self, data: bytes):
        self.data, self.position = data, 0

    def take(self, size: int) -> memoryview:
        """The next `size` bytes; `ValueError` where there are fewer."""
        start, self.position = self.position, self.position + size
        if self.position > len(self.data):
            raise ValueError(f"model.bin is cut off: {len(self.data)} bytes, and what stands at {start} takes {size}")
        return memoryview(self.data)[start : self.position]

    def number(self, code: str) -> int:
        """An unsigned integer by its `struct` code."""
        return struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]

    def text(self) -> str:
        return bytes(self.take(self.number("H"))).rstrip(b"\0").decode()

    def array(self) -> np.ndarray:
        """Numbers with their shape."""
        shape = [self.number("I") for _ in range(self.number("B"))]
        code, numbers = self.number("B"), self.take(self.number("I"))
        if code >= len(DTYPES):
            raise ValueError(f"model.bin holds numbers of type {code}; known are 0 to {len(DTYPES) - 1}")
        return np.frombuffer(numbers, DTYPES[code]).reshape(shape)


def read_arrays(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of a model.bin by name, aliases among them.

    Raises:
        ValueError: it is cut off.
    """
    reader = Reader(data)
    reader.number("I"), reader.text(), reader.number("I")  # version, kind, revision
    arrays = {}
    for _ in range(reader.number("I")):
        name = reader.text()
        arrays[name] = reader.array()
    if reader.position < len(data):
        for _ in range(reader.number("I")):
            alias, name = reader.text(), reader.text()
            arrays[alias] = arrays[name]
    return arrays
