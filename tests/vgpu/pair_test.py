#!/usr/bin/env python3
"""Two processes on one virtual machine: pair_test.py KILN_VGPU PAIR GPU TARGET

Owns: running plain_pair.c with its 100 killed processes, once more with strict memory, and looking
  for what they left behind. Does not own: what the processes see (plain_pair.c).
"""
import os
import subprocess
import sys
import tempfile


def run(tool, pair, gpu, target, kills):
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        environment = {name: text for name, text in os.environ.items()
                       if name not in ("KILN_VGPU", "LD_PRELOAD")}
        subprocess.run([tool, "--gpu", gpu, "--", pair, target, str(kills)], check=True,
                       env=environment | {"TMPDIR": scratch})
        left = os.listdir(scratch)
        assert left == [], f"left behind: {left}"


if __name__ == "__main__":
    TOOL, PAIR, GPU, TARGET = sys.argv[1:5]
    run(TOOL, PAIR, GPU + ",vram=4G", TARGET, 100)
    run(TOOL, PAIR, GPU + ",vram=4G,strict,skew=max", TARGET, 3)
