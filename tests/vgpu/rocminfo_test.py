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


def run(gpu, *command):
    # lsmod, which rocminfo runs, lies outside an ordinary user's PATH.
    environment = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    done = subprocess.run([KILN_VGPU, "--gpu", gpu, "--", *command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def agents(gpu):
    # "Agent N" between lines of stars.
    return re.split(r"\*+\s*\nAgent \d+\s*\n\*+\s*\n", run(gpu, ROCMINFO))[1:]


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
    def check(self, gpu, name, marketing, cus, gib, wave, isa, l2, waves):
        cpu, card = agents(gpu)
        self.assertEqual(value(cpu, "Device Type"), "CPU")
        self.assertEqual(value(card, "Device Type"), "GPU")
        self.assertEqual(value(card, "Name"), name)
        self.assertEqual(value(card, "Marketing Name"), marketing)
        self.assertEqual(value(card, "Compute Unit"), str(cus))
        self.assertTrue(value(card, "Wavefront Size").startswith(f"{wave}("))
        self.assertEqual(value(card, "Max Waves Per CU").split("(")[0], str(waves))
        self.assertEqual(value(card, "L2").split("(")[0], str(l2))
        self.assertRegex(card, re.escape(isa) + r"\s")
        sizes = pools(card)
        video = [size for segment, size in sizes if segment == "GLOBAL"]
        self.assertTrue(video, sizes)
        for size in video:  # the firmware keeps a little for itself
            self.assertLessEqual(size, gib << 20)
            self.assertGreater(size, (gib << 20) - (64 << 10))
        self.assertIn(("GROUP", 64), sizes)

    def test_mi210_is_gfx90a(self):
        self.check("mi210", "gfx90a", "AMD Instinct MI210", 104, 64, 64,
                   "amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-", l2=8192, waves=32)

    def test_navi21_is_gfx1030(self):
        self.check("navi21", "gfx1030", "AMD Radeon RX 6900 XT", 80, 16, 32,
                   "amdgcn-amd-amdhsa--gfx1030", l2=4096, waves=32)

    def test_mi25_is_gfx900(self):
        self.check("mi25", "gfx900", "AMD Radeon Instinct MI25", 64, 16, 64,
                   "amdgcn-amd-amdhsa--gfx900:xnack-", l2=4096, waves=40)

    def test_mi50_is_gfx906(self):
        self.check("mi50", "gfx906", "AMD Instinct MI60 / MI50", 60, 16, 64,
                   "amdgcn-amd-amdhsa--gfx906:sramecc+:xnack-", l2=8192, waves=40)

    def test_mi100_is_gfx908(self):
        self.check("mi100", "gfx908", "AMD Instinct MI100", 120, 32, 64,
                   "amdgcn-amd-amdhsa--gfx908:sramecc+:xnack-", l2=8192, waves=40)

    def test_navi10_is_gfx1010(self):
        self.check("navi10", "gfx1010", "AMD Radeon RX 5700 XT", 40, 8, 32,
                   "amdgcn-amd-amdhsa--gfx1010:xnack-", l2=4096, waves=40)

    def test_agent_enumerator(self):
        # Debian's script reads sysfs by itself; with -name it runs rocminfo, in its own folder.
        enumerator = os.path.join(os.path.dirname(ROCMINFO), "rocm_agent_enumerator")
        for gpu, target, name in (
                ("mi25", "gfx900", "gfx900:xnack-"),
                ("mi50", "gfx906", "gfx906:sramecc+:xnack-"),
                ("mi100", "gfx908", "gfx908:sramecc+:xnack-"),
                ("mi210", "gfx90a", "gfx90a:sramecc+:xnack-"),
                ("navi10", "gfx1010", "gfx1010:xnack-"),
                ("navi21", "gfx1030", None)):  # its name has no ':', which the script wants
            self.assertEqual(run(gpu, enumerator).split(), ["gfx000", target])
            self.assertEqual(run(gpu, enumerator, "-name").split(), [name] if name else [])
        self.assertEqual(run("2x mi100,navi10", enumerator).split(),
                         ["gfx000", "gfx908", "gfx908", "gfx1010"])

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
