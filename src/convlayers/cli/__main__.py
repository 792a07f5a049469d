"""``python -m convlayers.cli``: the ``convlayers`` command."""

import sys

from convlayers.cli import main

sys.exit(main())
