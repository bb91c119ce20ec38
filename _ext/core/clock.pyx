"""India's clock for Python; see clock.pxd. Each function takes numbers or arrays."""
SECOND = SECOND_NS
MINUTE = MINUTE_NS
MINUTES = SESSION_MINUTES
"""Of a session: 09:15 to 15:44 IST."""
OPEN_OF_DAY = OPEN_MINUTE
"""09:15 in minutes of India's day."""
AHEAD_OF_UTC = IST_MINUTES
"""Minutes."""


def day_of_minutes(minutes):
    """Days since 1970 in India of `minutes` since 1970 UTC."""
    return (minutes + IST_MINUTES) // MINUTES_A_DAY


def open_minute(day):
    """Minute since 1970 UTC of 09:15 in India on `day` (days since 1970)."""
    return day * MINUTES_A_DAY + OPEN_MINUTE - IST_MINUTES
