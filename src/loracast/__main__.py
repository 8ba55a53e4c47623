"""`python -m loracast`."""

import sys

from loracast.cli import main

sys.exit(main())
