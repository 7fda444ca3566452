"""How a use-case says no."""


class Refusal(Exception):
    """A request that the rules do not allow. The transaction must be rolled back; the doors translate `code`.

    `code` is part of the API and never changes; `detail` is a sentence for people; `fields` are facts that belong to
    the refusal, such as the field that was wrong. None of them ever holds a secret.
    """

    def __init__(self, code: str, detail: str, **fields: object) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.fields = fields


def outdated() -> Refusal:
    """The refusal for an edit of a version that is not the present one."""
    return Refusal(
        "precondition_failed", "It was changed in the meantime. Read it again, then edit that version."
    )
