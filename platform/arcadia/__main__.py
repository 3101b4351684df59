"""`python -m arcadia`, the same as `arcadia`."""

import sys

from arcadia.cli import main

sys.exit(main())
