"""Read timestamps as written in files: the exchange's wall clock and, if the file has time zones, the true time."""

from kronos.data.files.times.fields import NOT_A_TIME
from kronos.data.files.times.formats import TimestampFormat, is_newest_first, join_date_and_time, looks_like_times

__all__ = ["NOT_A_TIME", "TimestampFormat", "is_newest_first", "join_date_and_time", "looks_like_times"]
