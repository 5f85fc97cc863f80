"""How long something may be cached. Ages are in wall-clock time: it goes on while Lambda has frozen the instance."""


def is_within(seconds: float, since: float, now: float) -> bool:
    """Return whether less than `seconds` have passed since a time.

    False for a time in the future: the clock was set back, so the time that has passed is unknown.
    """
    return 0 <= now - since < seconds
