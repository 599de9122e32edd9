#!/usr/bin/env python3
"""Runs a program under kiln-vgpu and judges it: run_program.py KILN_VGPU SPEC PROGRAM [ARGUMENT...]

Owns: exit code, the verdict line, lines that a program's device code must have printed.
"""
import collections
import os
import re
import subprocess
import sys

KILN_VGPU, SPEC, PROGRAM = sys.argv[1:4]
NAME = os.path.basename(PROGRAM)


def expected_lines():
    """What the kernels of hip/printing.cpp print, in any order."""
    if NAME != "printing":
        return []
    lines = [f"line {i} of 10 from block {i // 4}: a device {i * 0.125:.3f} "
             f"{0xfeedface00000000 + i:x}%" for i in range(10)]
    return lines + ["found 41 at 123"]


def main():
    done = subprocess.run([KILN_VGPU, "--gpu", SPEC, "--"] + sys.argv[3:],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace")
    print(done.stdout, end="")
    problems = []
    if done.returncode != 0:
        problems.append(f"exit code {done.returncode}")
    verdict = re.search(r"^(\S+): (PASS|FAIL) (\d+) checks, (\d+) failures$", done.stdout, re.M)
    if verdict is None:
        problems.append("no verdict")
    elif verdict[2] != "PASS" or int(verdict[3]) == 0 or int(verdict[4]) != 0:
        problems.append(verdict[0])
    seen = collections.Counter(done.stdout.splitlines())
    problems += [f"'{line}' printed {seen[line]} times" for line in expected_lines()
                 if seen[line] != 1]
    for problem in problems:
        print(f"{NAME} on {SPEC}: {problem}", file=sys.stderr)
    return 1 if problems else 0


sys.exit(main())
