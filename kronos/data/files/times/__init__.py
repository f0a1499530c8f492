"""Read timestamps as written in files: the exchange's wall clock and, if the file has time zones, the true time."""

from kronos.data.files.times.fields import NOT_A_TIME
from kronos.data.files.times.formats import TimestampFormat, is_newest_first, looks_like_times
from kronos.data.files.times.joined import join_date_and_time

__all__ = ["NOT_A_TIME", "TimestampFormat", "is_newest_first", "join_date_and_time", "looks_like_times"]
