"""Days and dates of the Gregorian calendar, without the modules that know all calendars."""

from __future__ import annotations


def days_from_date(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01 to a date; a day outside the month counts on from it."""
    # Years that begin in March: the leap day is the last one, and the months' lengths are regular.
    year -= month <= 2
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + day_of_year - 719_468


def date_from_days(days: int) -> tuple[int, int, int]:
    """Return (year, month, day) of a number of days since 1970-01-01."""
    days += 719_468
    era, day_of_era = divmod(days, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    return 400 * era + year_of_era + (month <= 2), month, day
