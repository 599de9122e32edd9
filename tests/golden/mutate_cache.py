#!/usr/bin/env python3
"""Drops every cache bit, barrier half and join of src/gpu/cache.cpp in turn; the golden tests must
notice each.

    mutate_cache.py SOURCE_ROOT SCRATCH_DIR [COMPILER]

Compiles a changed copy of cache.cpp, links it with the other objects and runs the tests of cache_test.cpp
and pm4_test.cpp. Exits 1 and names the survivors if a change goes unnoticed."""

import pathlib
import re
import subprocess
import sys


def mutants(text):
    """(what, changed text) for each thing that can be dropped."""
    # A bit of a cache-control word.
    for match in re.finditer(r"\.set<pm4::(?:AcquireMem|ReleaseMem)Gfx\d+::"
                             r"(?:tc_wb|tcl1|tc|kcache|icache|gl2_wb|glk_inv|glv_inv|gl1_inv|gl2_inv|gli_inv)"
                             r">\(1\)", text):
        yield match.group(0), text[:match.start()] + text[match.end():]
    # A call of a barrier's sequence, with what stands in front of it on the line.
    for match in re.finditer(r"^ +(?:if \([^;]*?\) )?(?:emit_idle|emit_xcc_join|put_acquire_mem|put_rendezvous)"
                             r"\([^;{]*\);$", text, re.M):
        yield match.group(0).strip(), text[:match.start()] + "  (void)0;" + text[match.end():]
    # One half of an expression that unites bits, and the conditions that choose them.
    for old, new in (("release | acquire", "release"), ("release | acquire", "acquire"),
                     ("bits |= gfx9 ? kGfx9AcquireL2 : kGfx11AcquireL2", "(void)0"),
                     ("bits |= gfx9 ? kGfx9Code : kGfx11Code", "(void)0"),
                     ("barrier.execute || barrier.release != Scope::None", "barrier.execute"),
                     ("barrier.execute || barrier.release != Scope::None",
                      "barrier.release != Scope::None"),
                     ("scope == Scope::System ||", "false ||"),
                     ("target.cache.l2_domain == L2Domain::Xcc", "false"),
                     ("queue.join_counters + kSecondCounter", "queue.join_counters"),
                     ("scope = Scope::Agent;", ";"),
                     ("power_of_two ? xcc_count - 1 : ~0u", "~0u"),
                     ("power_of_two ? 1 : xcc_count - 1", "1")):
        if old not in text:
            sys.exit(f"mutate_cache.py: cache.cpp has no '{old}' any more; bring the script up to date")
        yield f"{old}  ->  {new}", text.replace(old, new, 1)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    root, scratch = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    compiler = sys.argv[3].split() if len(sys.argv) > 3 else ["g++"]
    scratch.mkdir(parents=True, exist_ok=True)
    flags = ["-std=c++23", "-O0", "-w", f"-I{root}/src", f"-I{root}/tests/golden"]

    def compile_to(source, name):
        target = scratch / name
        subprocess.run([*compiler, *flags, "-c", str(source), "-o", str(target)], check=True)
        return target

    gpu, tests = root / "src/gpu", root / "tests/golden"
    objects = [compile_to(gpu / f"{name}.cpp", f"{name}.o")
               for name in ("target", "signal", "dispatch", "copy", "decode")]
    objects += [compile_to(tests / f"{name}.cpp", f"{name}.o") for name in ("cache_test", "pm4_test")]

    def passes(text):
        source = scratch / "cache.cpp"
        source.write_text(text)
        binary = scratch / "mutant"
        try:
            subprocess.run([*compiler, *flags, str(source), *map(str, objects), "-o", str(binary),
                            "-lgtest", "-lgtest_main", "-lpthread"], check=True, capture_output=True)
        except subprocess.CalledProcessError as error:
            sys.exit(f"mutate_cache.py: a mutant does not compile\n{error.stderr.decode()}")
        return subprocess.run([str(binary)], capture_output=True, timeout=60).returncode == 0

    text = (gpu / "cache.cpp").read_text()
    if not passes(text):
        sys.exit("mutate_cache.py: the tests fail before anything is changed")
    survivors = []
    count = 0
    for what, changed in mutants(text):
        count += 1
        caught = not passes(changed)
        print(("caught    " if caught else "SURVIVED  ") + " ".join(what.split()), flush=True)
        if not caught:
            survivors.append(what)
    print(f"{count} changes, {len(survivors)} unnoticed")
    sys.exit(1 if survivors or count == 0 else 0)


if __name__ == "__main__":
    main()
