"""What is refused about places."""

from http import HTTPStatus

from market.errors import RefusalCode


class PlaceRefusal(RefusalCode):
    """Why somebody is not a neighbour, or cannot become one."""

    NOT_A_NEIGHBOUR = (
        "not_a_neighbour",
        HTTPStatus.FORBIDDEN,
        "This is not one of your verified neighbourhoods. Verify it first.",
    )
    TOO_MANY_NEIGHBOURHOODS = (
        "too_many_neighbourhoods",
        HTTPStatus.CONFLICT,
        "You have as many neighbourhoods as you can have. Give one up first.",
    )
    POSITION_TOO_VAGUE = (
        "position_too_vague",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Your position is not precise enough. Try again outdoors.",
    )
    OUTSIDE_REGIONS = (
        "outside_regions",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Your position is not in any region we know.",
    )
