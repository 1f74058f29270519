"""Workers in other processes find the tests' stage on the path, in a folder where nothing else is."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "stages"))
