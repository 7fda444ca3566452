"""What is refused about accounts."""

from http import HTTPStatus

from market.errors import RefusalCode


class AccountRefusal(RefusalCode):
    """Why somebody cannot log in, act for an account, or change it."""

    INVALID_CREDENTIALS = (
        "invalid_credentials",
        HTTPStatus.UNAUTHORIZED,
        "The e-mail address or the password is wrong.",
    )
    SECOND_FACTOR_REQUIRED = (
        "second_factor_required",
        HTTPStatus.UNAUTHORIZED,
        "Enter the code from your authenticator app, or a recovery code, as well.",
    )
    INVALID_CODE = (
        "invalid_code",
        HTTPStatus.UNAUTHORIZED,
        "The code is wrong, expired or already used. Enter a new one.",
    )
    INVALID_REFRESH_TOKEN = (
        "invalid_refresh_token",
        HTTPStatus.UNAUTHORIZED,
        "Your session is over. Log in again.",
    )
    BANNED = "banned", HTTPStatus.FORBIDDEN, "This account has been banned."
    SUSPENDED = (
        "suspended",
        HTTPStatus.FORBIDDEN,
        "Your account is suspended. You cannot bid or sell at the moment.",
    )
    EMAIL_NOT_VERIFIED = (
        "email_not_verified",
        HTTPStatus.FORBIDDEN,
        "Confirm your e-mail address first. We can send you the e-mail again.",
    )
    BLOCKED = (
        "blocked",
        HTTPStatus.FORBIDDEN,
        "You cannot deal with this user, because one of you has blocked the other.",
    )
    EMAIL_VERIFIED = "email_verified", HTTPStatus.CONFLICT, "Your e-mail address is already confirmed."
    LAST_ADMIN = (
        "last_admin",
        HTTPStatus.CONFLICT,
        "Nobody would be left to assign roles. Make somebody else an admin first.",
    )
    SECOND_FACTOR_ON = (
        "second_factor_on",
        HTTPStatus.CONFLICT,
        "Two-factor authentication is already on. To change it, turn it off first.",
    )
    SECOND_FACTOR_OFF = "second_factor_off", HTTPStatus.CONFLICT, "Two-factor authentication is not on."
    UNSETTLED_BUSINESS = (
        "unsettled_business",
        HTTPStatus.CONFLICT,
        "You still have open paddles, auctions or orders. Bring them to an end first.",
    )
    BALANCE_NOT_ZERO = (
        "balance_not_zero",
        HTTPStatus.CONFLICT,
        "There is still money in your wallet. It must be empty first.",
    )
    PASSWORD_TOO_COMMON = (
        "password_too_common",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "This password is too easy to guess. Choose another.",
    )
    TOO_MANY_ATTEMPTS = (
        "too_many_attempts",
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many failed attempts. Wait a while before you try again.",
    )
