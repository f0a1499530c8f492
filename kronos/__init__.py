"""Fine-tune the Kronos foundation model on your own K-lines, and see honestly whether it helped.

The public names are in __init__.pyi. They are imported when they are first used: PyTorch takes seconds to load, --help and an
error in the YAML should not wait for it, and a program must be ready for signals before.
"""

import lazy_loader

from kronos.waiting import limit_thread_spinning

limit_thread_spinning()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
