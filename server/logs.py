"""Structured logs: one JSON object a line on stderr, with a static event name and fields.

Lines of other libraries (Tornado, Celery, asyncio) take the same way. Fields bound with structlog's contextvars,
such as the request id, appear in every line of that context.
"""

import logging

import structlog
from tornado.httputil import HTTPServerRequest


def _hide_request(record: logging.LogRecord) -> bool:
    """Tornado logs an uncaught exception with the whole request, query string (a ticket, perhaps) included.

    The request id in the same line leads to the access log's line, which says all that is needed.
    """
    arguments = record.args if isinstance(record.args, tuple) else ()
    if any(isinstance(argument, HTTPServerRequest) for argument in arguments):
        record.msg, record.args = "uncaught_exception", ()
    return True


def configure(process: str, level: str) -> None:
    """Sets up structlog and logging for this process. Call once, before anything logs."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Without the local variables, which hold passwords and tickets.
        structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        ),
    ]

    def add_process(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            add_process,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.addFilter(_hide_request)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
