"""Server-sent events from bytes that may be cut anywhere, also inside a character."""


class EventData:
    """`feed` returns the `data` of each event that became complete; names and comments are
    skipped, since every provider repeats the name inside the data."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        if b"\n" not in chunk:
            self._rest.append(chunk)
            return []
        if self._rest:
            chunk = b"".join([*self._rest, chunk])
            self._rest = []
        lines = chunk.split(b"\n")
        if rest := lines.pop():
            self._rest.append(rest)
        found: list[bytes] = []
        for line in lines:
            self._take(line.removesuffix(b"\r"), found)
        return found

    def close(self) -> list[bytes]:
        """What a provider left without its closing blank line."""
        found: list[bytes] = []
        self._take(b"".join(self._rest).removesuffix(b"\r"), found)
        self._take(b"", found)
        self._rest = []
        return found

    def _take(self, line: bytes, found: list[bytes]) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            found.append(b"\n".join(self._data))
            self._data.clear()
