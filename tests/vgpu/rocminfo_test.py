#!/usr/bin/env python3
"""Debian's unmodified rocminfo on virtual GPUs that it knows: rocminfo_test.py KILN_VGPU ROCMINFO

Owns: what rocminfo must print of each chip. The numbers are the products' published ones
  (compute units, memory, wavefront, LDS), not read from Kiln.
"""
import os
import re
import subprocess
import sys
import unittest

KILN_VGPU, ROCMINFO = sys.argv[1], sys.argv[2]


def agents(gpu):
    # lsmod, which rocminfo runs, lies outside an ordinary user's PATH.
    environment = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    done = subprocess.run([KILN_VGPU, "--gpu", gpu, "--", ROCMINFO], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        raise AssertionError(f"rocminfo: {done.returncode}\n{done.stdout}\n{done.stderr}")
    # "Agent N" between lines of stars.
    return re.split(r"\*+\s*\nAgent \d+\s*\n\*+\s*\n", done.stdout)[1:]


def value(agent, name):
    found = re.search(rf"^\s*{re.escape(name)}:\s*(.*?)\s*$", agent, re.MULTILINE)
    if found is None:
        raise AssertionError(f"no '{name}' in:\n{agent}")
    return found.group(1)


def pools(agent):
    """(segment, KiB) of each memory pool."""
    return [(segment, int(size)) for segment, size in
            re.findall(r"Segment:\s+(\w+).*?\n\s+Size:\s+(\d+)\(", agent)]


class RocminfoTest(unittest.TestCase):
    def check(self, gpu, name, marketing, cus, gib, wave, isa):
        cpu, card = agents(gpu)
        self.assertEqual(value(cpu, "Device Type"), "CPU")
        self.assertEqual(value(card, "Device Type"), "GPU")
        self.assertEqual(value(card, "Name"), name)
        self.assertEqual(value(card, "Marketing Name"), marketing)
        self.assertEqual(value(card, "Compute Unit"), str(cus))
        self.assertTrue(value(card, "Wavefront Size").startswith(f"{wave}("))
        self.assertIn(isa, card)
        sizes = pools(card)
        video = [size for segment, size in sizes if segment == "GLOBAL"]
        self.assertTrue(video, sizes)
        for size in video:  # the firmware keeps a little for itself
            self.assertLessEqual(size, gib << 20)
            self.assertGreater(size, (gib << 20) - (64 << 10))
        self.assertIn(("GROUP", 64), sizes)

    def test_mi210_is_gfx90a(self):
        self.check("mi210", "gfx90a", "AMD Instinct MI210", 104, 64, 64,
                   "amdgcn-amd-amdhsa--gfx90a")

    def test_navi21_is_gfx1030(self):
        self.check("navi21", "gfx1030", "AMD Radeon RX 6900 XT", 80, 16, 32,
                   "amdgcn-amd-amdhsa--gfx1030")

    def test_two_gpus(self):
        names = [value(agent, "Name") for agent in agents("mi210,navi21")]
        self.assertEqual(names[1:], ["gfx90a", "gfx1030"])

    def test_without_the_library_there_is_no_such_gpu(self):
        done = subprocess.run([ROCMINFO], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        shown = agents("mi210")[1]
        self.assertNotIn(value(shown, "Uuid"), done.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
