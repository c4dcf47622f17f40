"""``python -m smspop_async.cli`` is ``smspop``."""

import sys

from smspop_async.cli import main

sys.exit(main())
