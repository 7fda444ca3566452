"""The demo, before it begins."""

from pathlib import Path

import pytest

from server import settings
from server.demo.play import main


def test_where_its_people_could_not_trade_the_demo_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = settings.load({"NEIGHBORBID_HOME": str(tmp_path), "NEIGHBORBID_VERIFY_EMAIL": "on"})
    assert main(loaded, []) == 1
    assert "NEIGHBORBID_VERIFY_EMAIL=off" in capsys.readouterr().out.replace("\n", "")
