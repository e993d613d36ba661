"""``python -m qdtrack_ros.demo``"""

from __future__ import annotations

import sys

from qdtrack_ros.demo.run import main

if __name__ == "__main__":
    sys.exit(main())
