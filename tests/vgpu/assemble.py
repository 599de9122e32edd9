#!/usr/bin/env python3
# Owns: the golden encodings of the assembly texts in tests/vgpu/isa_*_test.cpp, made by llvm-mc.
# Does not own: the tests, which find a program's dwords by its text (isa_harness.hpp).
# Usage: tests/vgpu/assemble.py  (after changing a text; needs llvm-mc-22 and llvm-objcopy-22)
import pathlib
import re
import struct
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
WAVE64 = "-mattr=+wavefrontsize64,-wavefrontsize32"
TARGETS = {"gfx90a": "", "gfx942": "", "gfx1030": "", "gfx1030_wave64": WAVE64,
           "gfx1100": "", "gfx1100_wave64": WAVE64}
CALL = re.compile(r'\b(gfx90a|gfx942|gfx1030|gfx1030_wave64|gfx1100|gfx1100_wave64)\(R"\((.*?)\)"\)', re.S)


def assemble(target, text):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "t.s").write_text(text + "\n")
        command = ["llvm-mc-22", "-triple=amdgcn-amd-amdhsa", "-mcpu=" + target.split("_")[0],
                   "-filetype=obj", str(path / "t.s"), "-o", str(path / "t.o")]
        if TARGETS[target]:
            command.append(TARGETS[target])
        subprocess.run(command, check=True)
        subprocess.run(["llvm-objcopy-22", "-O", "binary", "-j", ".text", str(path / "t.o"),
                        str(path / "t.bin")], check=True)
        data = (path / "t.bin").read_bytes()
    return struct.unpack("<%dI" % (len(data) // 4), data)


def main():
    lines = ["// Made by assemble.py with llvm-mc 22 from the texts in the tests; do not edit.", ""]
    seen = {}
    for source in sorted(HERE.glob("isa_*_test.cpp")):
        for target, text in CALL.findall(source.read_text()):
            seen.setdefault((target, text))
    for target, text in seen:
        dwords = assemble(target, text)
        lines.append('{"%s", R"(%s)", {' % (target, text))
        for start in range(0, len(dwords), 8):
            lines.append("     " + " ".join("0x%08x," % d for d in dwords[start:start + 8]))
        lines.append("}},")
    (HERE / "isa_programs.inc").write_text("\n".join(lines) + "\n")


main()
