import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from lmtool.heap import keep_heap

if sys.argv[1] == "keep":
    assert keep_heap()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(1 << 24)  # 128 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the GNU C library and Linux")
def test_a_freed_buffer_is_used_again_without_fetching_pages():
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True).stdout)
        for mode in ("keep", "plain")
    )

    # 128 MiB are 32,768 pages of 4 KiB, or 64 huge ones where every mapping gets those.
    assert given_back >= 64
    assert kept < 64
