"""Every Prometheus metric of the server layer. Each process serves its own on its own port."""

from prometheus_client import Counter, Histogram

HTTP_REQUESTS = Counter(
    "neighborbid_http_requests_total",
    "Requests answered, by handler class (a bounded set, unlike paths), method and status.",
    ["handler", "method", "status"],
)
HTTP_REQUEST_SECONDS = Histogram(
    "neighborbid_http_request_seconds",
    "Time from the request's first byte to the end of its answer; a WebSocket counts its handshake only.",
    ["handler"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
