"""Opening the catalogue twice in one process must not cancel the locks that protect it from another process."""

import subprocess
import sys
from pathlib import Path

from curation.store import Catalogue

OTHER = """
import sys
from curation.store import Catalogue
with Catalogue.open(sys.argv[1]) as catalogue:
    catalogue.append_record("rounds", sys.argv[2], {"n": 1})
"""


def test_a_second_opening_keeps_the_write_ahead_log_in_place(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    with Catalogue.open(url) as first:
        first.append_record("rounds", "a", {"n": 0})
        for number in range(3):
            with Catalogue.open(url) as second:
                assert len(second.list_records("rounds")) == 1 + 2 * number
            subprocess.run([sys.executable, "-c", OTHER, url, f"other-{number}"], check=True)
            assert (tmp_path / "catalogue.db-wal").exists(), "the other process took the log away: our lock was gone"
            assert first.append_record("rounds", f"mine-{number}", {"n": 2})
        assert len(first.list_records("rounds")) == 7
