"""What is refused about notifications."""

from http import HTTPStatus

from market.errors import RefusalCode


class NotificationRefusal(RefusalCode):
    """Why notifications cannot be sent like this."""

    INVALID_PREFERENCES = (
        "invalid_preferences",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "These preferences cannot be saved. Correct them and try again.",
    )
    INVALID_SUBSCRIPTION = (
        "invalid_subscription",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "This push subscription is not valid. Subscribe again.",
    )
