#!/usr/bin/env python3
"""Host cost of submitting, Kiln beside HIP and a hand-written AQL packet, on one kind of virtual GPU.

peers.py KILN_VGPU HIP_PEER HSA_PEER HSA_CODE KILN_PEER KILN_CODE [JSON]

Owns: running the peers in turn (a process may open KFD once, so each has its own), the table, ratios.
  Rounds are interleaved and the best round of each row counts: what a busy machine disturbs least.
"""
import json
import subprocess
import sys

ROUNDS = 3


def rows_of(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main():
    vgpu, hip, hsa, hsa_code, kiln, kiln_code = sys.argv[1:7]
    under = [vgpu, "--gpu", "mi210", "--"]
    best = {}
    for _ in range(ROUNDS):
        for command in ([hip], [hsa, hsa_code], [kiln, kiln_code]):
            for row in rows_of(under + command):
                kept = best.setdefault(row["row"], row)
                if row["best_ns"] < kept["best_ns"]:
                    best[row["row"]] = row
    prepared = best["Kiln submit, prepared"]["best_ns"]
    print("virtual mi210, host time of one call: quickest batch of 32, and percentiles of calls\n"
          "timed one by one (with the clock's own time). ratio: best, in prepared submits of Kiln\n")
    print(f"{'row':42}{'until':28}{'best ns':>10}{'p50 ns':>9}{'p99 ns':>9}{'instr.':>8}{'ratio':>8}")
    for row in best.values():
        row["ratio"] = round(row["best_ns"] / prepared, 2)
        print(f"{row['row']:42}{row['until']:28}{row['best_ns']:10.1f}{row['p50_ns']:9}"
              f"{row['p99_ns']:9}"
              f"{row.get('instructions', '-'):>8}{row['ratio']:8.2f}")
    bars = {
        "hipLaunchKernel / prepared submit (at least 5)": best["hipLaunchKernel"]["ratio"],
        "prepared submit / AQL packet by hand (at most 2)":
            round(prepared / best["AQL packet by hand on ROCr"]["best_ns"], 2),
    }
    print()
    for name, value in bars.items():
        print(f"{name}: {value}")
    if len(sys.argv) > 7:
        with open(sys.argv[7], "w", encoding="utf-8") as file:
            json.dump({"gpu": "mi210", "virtual": True, "rows": list(best.values()), "bars": bars},
                      file, indent=1)


main()
