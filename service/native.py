"""The compiled part (native/), where it was built. Who uses it does the same in Python where it was not."""

try:
    from service import _native as compiled
except ImportError:
    compiled = None  # type: ignore[assignment]

__all__ = ["compiled"]
