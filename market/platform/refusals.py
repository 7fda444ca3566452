"""What is refused about the platform."""

from http import HTTPStatus

from market.errors import RefusalCode


class PlatformRefusal(RefusalCode):
    """What the settings of the platform do not allow."""

    SWITCHED_OFF = "switched_off", HTTPStatus.CONFLICT, "This is switched off at the moment. Try again later."
    INVALID_INCREMENTS = (
        "invalid_increments",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "These tables of increments cannot be used. Correct them and try again.",
    )
