"""What must hold, in folders that mirror the package; what several files need stands at the top."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
