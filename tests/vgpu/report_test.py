#!/usr/bin/env python3
"""The evidence report of a process: report_test.py KILN_VGPU KILN_RUN OBJDUMP KERNELS PLAIN_CLIENT

Owns: what KILN_VGPU_REPORT must hold. What instructions a kernel has comes from LLVM's disassembler.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

KILN_VGPU, KILN_RUN, OBJDUMP, KERNELS, PLAIN_CLIENT = map(os.path.abspath, sys.argv[1:6])


def mnemonics(code_object, kernel):
    """Without the suffixes that name an encoding; VOPD's halves apart."""
    text = subprocess.run([OBJDUMP, "-d", f"--disassemble-symbols={kernel}", code_object],
                          stdout=subprocess.PIPE, check=True, text=True).stdout
    found = set()
    for line in text.splitlines():
        if line.startswith("\t"):
            for half in line.split("//")[0].split("::"):
                found.add(re.sub(r"_(e32|e64|sdwa|dpp)$", "", half.split()[0]))
    return found


class ReportTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def run_with_report(self, command, name="report.json", gpu=None):
        environment = dict(os.environ, KILN_VGPU_REPORT=os.path.join(self.folder.name, name))
        if gpu is not None:
            environment["KILN_VGPU"] = gpu
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, cwd=self.folder.name)

    def report(self, name="report.json"):
        with open(os.path.join(self.folder.name, name), encoding="utf-8") as file:
            return json.load(file)

    def vector_add(self, gpu, target):
        code = os.path.join(KERNELS, target, "vector_add.hsaco")
        done = self.run_with_report(
            [KILN_RUN, "--grid", "3", "--block", "256", code, "vector_add", "zero:4096", "zero:4096",
             "hex:64", "u32:700"], gpu=gpu)
        self.assertEqual(done.returncode, 0, done.stderr)
        return code, self.report()

    def test_names_what_ran(self):
        for gpu, target, generation in (("mi300x", "gfx942", "CDNA3"), ("navi31", "gfx1100", "RDNA3")):
            with self.subTest(gpu):
                code, report = self.vector_add(gpu, target)
                ran = {one["name"] for one in report["instructions"]}
                self.assertEqual({one["generation"] for one in report["instructions"]}, {generation})
                # Every instruction in front of the end is on the way of some lane; padding is not.
                padding = {"s_code_end", "s_nop"}
                self.assertEqual(ran - padding, mnemonics(code, "vector_add") - padding)
                self.assertEqual(report["opcodes"], {"exact": len(ran), "approximate": 0,
                                                     "unsupported": 0})
                self.assertEqual(report["gpus"], [gpu])
                self.assertEqual(report["problems"], [])
                # 12 waves of 64 lanes or 24 of 32, no loop in it.
                self.assertGreater(report["wave_instructions"], 12 * 10)

    def test_counts_packets(self):
        _, report = self.vector_add("navi31", "gfx1100")
        packets = {(one["engine"], one["name"]): one["count"] for one in report["packets"]}
        self.assertEqual({one["target"] for one in report["packets"]}, {"gfx1100"})
        self.assertEqual(packets["PM4", "DISPATCH_DIRECT"], 1)
        self.assertGreaterEqual(packets["PM4", "RELEASE_MEM"], 1)
        _, report = self.vector_add("mi300x", "gfx942")
        packets = {(one["engine"], one["name"]): one["count"] for one in report["packets"]}
        self.assertEqual(packets["PM4", "DISPATCH_DIRECT"], 8, "each XCC reads every packet")
        self.assertGreaterEqual(packets["AQL", "PM4_IB"], 1)

    def test_transcendental_functions_are_approximate(self):
        code = os.path.join(KERNELS, "gfx1100", "nbody.hsaco")
        listing = self.run_with_report([KILN_RUN, code, "--list"], gpu="navi31").stdout
        kernel = listing.split()[0]
        self.assertIn("v_rsq_f32", mnemonics(code, kernel))
        done = self.run_with_report([KILN_RUN, code, kernel, "zero:65536", "zero:65536", "u32:64",
                                     "f32:0.01", "--grid", "1", "--block", "64"], gpu="navi31")
        standing = {one["name"]: one["standing"] for one in self.report()["instructions"]}
        self.assertEqual(standing["v_rsq_f32"], "approximate", done.stderr)

    def test_programs_that_know_nothing_of_it(self):
        done = self.run_with_report([KILN_VGPU, "--gpu", "navi31", "--", PLAIN_CLIENT, "110000"],
                                    name="plain-%p.json")
        self.assertEqual(done.returncode, 0, done.stderr)
        files = [name for name in os.listdir(self.folder.name) if name.startswith("plain-")]
        self.assertEqual(len(files), 1, files)
        self.assertNotIn("%p", files[0])
        report = self.report(files[0])
        self.assertIn(os.path.basename(PLAIN_CLIENT), report["program"])
        self.assertIn(("SDMA", "COPY_LINEAR"),
                      {(one["engine"], one["name"]) for one in report["packets"]})

    def test_a_file_that_cannot_be_written_is_said_and_harms_nothing(self):
        code = os.path.join(KERNELS, "gfx1100", "vector_add.hsaco")
        done = self.run_with_report(
            [KILN_RUN, code, "vector_add", "zero:64", "zero:64", "hex:64", "u32:16"],
            name="missing/report.json", gpu="navi31")
        self.assertEqual(done.returncode, 0)
        self.assertIn("KILN_VGPU_REPORT", done.stderr)
        self.assertIn("missing/report.json", done.stderr)

    def test_a_fault_is_a_problem(self):
        code = os.path.join(KERNELS, "gfx1100", "vector_add.hsaco")
        done = self.run_with_report(
            [KILN_RUN, code, "vector_add", "u64:4096", "zero:64", "zero:64", "u32:16"],
            gpu="navi31")
        self.assertNotEqual(done.returncode, 0)
        problems = self.report()["problems"]
        self.assertEqual(len(problems), 1, problems)
        self.assertIn("fault at 0x1000", problems[0])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
