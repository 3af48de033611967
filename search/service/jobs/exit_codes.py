"""Exit codes with which the job of a search tells the dispatcher whether another job would help."""

from __future__ import annotations

import os

WRONG_REQUEST = 2
"""The request is wrong, as for every command; another job would find it so again."""

GIVEN_UP = 3
"""The search would only fail again."""

AWAY = os.EX_TEMPFAIL
"""The storage, MLflow, Ray or the study's database was away: other jobs follow, however many, until it is back."""
