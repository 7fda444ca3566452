"""Every metric of the realtime process."""

from prometheus_client import Counter, Gauge, Histogram

_DELAYS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)

SOCKETS = Gauge("neighborbid_live_sockets", "Open live sockets")
ROOMS = Gauge("neighborbid_live_rooms", "Auctions that this process follows")
MESSAGES = Counter("neighborbid_live_messages_total", "Messages from clients", ["type"])
ERRORS = Counter("neighborbid_live_errors_total", "Error replies", ["code"])
BIDS = Counter("neighborbid_live_bids_total", "Answers to bids", ["outcome"])
BID_S = Histogram(
    "neighborbid_live_bid_seconds", "From the receipt of a bid to its answer", buckets=_DELAYS_S
)
FLUSH_S = Histogram(
    "neighborbid_live_flush_seconds", "Time to write one tick to all viewers", buckets=_DELAYS_S
)
CLOSE_DELAY_S = Histogram(
    "neighborbid_live_close_delay_seconds",
    "From the end of an auction to its hammer at the viewers",
    buckets=_DELAYS_S,
)
CATCH_UPS = Counter("neighborbid_live_catch_ups_total", "Times that a room was read from Redis")
SNAPSHOTS_FOR_ALL = Counter("neighborbid_live_resets_total", "Times that a whole room needed a snapshot")
SLOW_VIEWERS = Counter("neighborbid_live_slow_viewers_total", "Sockets closed because they were too slow")
WRITE_BACK_AGE_S = Gauge(
    "neighborbid_live_write_back_age_seconds", "Time since the last successful write-back"
)
