"""The one exception of the command line: what went wrong in one sentence, and the lines that show why."""


class Failure(Exception):
    """The command cannot go on. `str()` is the sentence for the operator, `evidence` the output that explains it."""

    def __init__(self, sentence: str, evidence: str = "") -> None:
        super().__init__(sentence)
        self.evidence = evidence
