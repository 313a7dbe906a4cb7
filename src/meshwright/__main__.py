"""``python -m meshwright``: the same as the ``meshwright`` command."""

from __future__ import annotations

from meshwright.cli.main import main

if __name__ == "__main__":
    main()
