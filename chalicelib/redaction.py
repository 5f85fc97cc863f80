"""Base class of structs that hold secrets: the `repr` shows the type, and no field."""

import msgspec


class RedactedStruct(msgspec.Struct, frozen=True):
    """Base class of structs that hold a secret. Logs and tracebacks may show the `repr` of such a struct.

    Data classes of this service are msgspec structs, because Python creates the class of a struct in 0.02 ms, and a
    frozen dataclass in 1.5 ms (cold start). Only the few classes that call other services are dataclasses.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
