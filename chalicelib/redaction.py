"""Base class of structs that hold secrets: the `repr` shows the type, and no field."""

import msgspec


class RedactedStruct(msgspec.Struct, frozen=True):
    """Base class of structs that hold a secret. Logs and tracebacks may show the `repr` of such a struct."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
