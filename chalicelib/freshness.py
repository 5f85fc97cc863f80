"""How old something may be that is used again: a cached value, or a connection.

Ages are in wall-clock time: it goes on while Lambda has frozen the instance.
"""


def is_fresh(max_age: float, since: float, now: float) -> bool:
    """Return whether what exists since `since` is younger than `max_age` seconds.

    False for a time in the future: the clock was set back, so the age is unknown.
    """
    return 0 <= now - since < max_age
