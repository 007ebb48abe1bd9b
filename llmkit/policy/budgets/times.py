"""How long what is held stays held, and may be corrected."""

from __future__ import annotations

LAPSE = 900.0
"""After how many seconds what was held by hand is let go, if nobody has settled it."""

CORRECTED = 24 * 3600
"""For how many seconds what was let go of can be settled after all, and what was charged be corrected."""
