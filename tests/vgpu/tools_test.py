#!/usr/bin/env python3
"""Small programs of the system on virtual GPUs: tools_test.py KILN_VGPU

Owns: what lspci, drmdevice, clinfo, ls, stat, find, cat and the shells must see. PCI names and
  classes are pci.ids' and pci_regs.h's. What is not installed is skipped by name.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

KILN_VGPU = os.path.abspath(sys.argv[1])
MACHINE = "mi100,navi10"
SLOTS = ("0000:05:00.0", "0000:16:00.0")


def run(*command, gpu=MACHINE, code=0):
    environment = {name: text for name, text in os.environ.items()
                   if name not in ("KILN_VGPU", "LD_PRELOAD")}
    done = subprocess.run([KILN_VGPU, "--gpu", gpu, "--", *command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=environment)
    if done.returncode != code:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class ToolsTest(unittest.TestCase):
    def need(self, program):
        if shutil.which(program) is None:
            self.skipTest(f"{program} is not installed")

    def test_lspci(self):
        self.need("lspci")
        self.assertEqual(run("lspci", "-n", "-d", "1002:"),
                         "05:00.0 0380: 1002:738c (rev 01)\n16:00.0 0300: 1002:731f (rev c1)\n")
        shown = run("lspci", "-vvs", "16:00.0")
        self.assertIn("Memory at 210000000000 (64-bit, prefetchable) [size=8G]", shown)
        self.assertRegex(shown, r"LnkSta:\s*Speed 16GT/s.*Width x16")
        # The host's own devices stay.
        host = subprocess.run(["lspci", "-n"], stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual(set(host.splitlines()) - set(run("lspci", "-n").splitlines()), set())

    def test_drmdevice(self):
        self.need("drmdevice")
        shown = run("drmdevice")
        self.assertIn("Devices reported 2", shown)
        for node in ("card0", "renderD128", "card1", "renderD129"):
            self.assertIn(f"Opening device node /dev/dri/{node}", shown)
        self.assertIn("device_id     738c", shown)
        self.assertNotIn("Failed", shown)

    def test_clinfo(self):
        self.need("clinfo")
        self.assertIn("Number of platforms", run("clinfo"))

    def test_lstopo(self):
        self.need("lstopo-no-graphics")
        shown = run("lstopo-no-graphics", "--of", "console")
        self.assertIn("PCI 05:00.0 (Display)", shown)
        self.assertIn("PCI 16:00.0 (VGA)", shown)

    def test_folders(self):
        self.assertEqual(run("ls", "/dev/dri/by-path").split(),
                         [f"pci-{slot}-{kind}" for slot in SLOTS for kind in ("card", "render")])
        for folder in ("/sys/bus/pci/devices", "/sys/class/hwmon"):
            shown = set(run("ls", folder).split())
            host = {os.path.basename(path) for path in glob.glob(folder + "/*")}
            self.assertLessEqual(host, shown)
            self.assertEqual(len(shown - host), 2, folder)
        self.assertLessEqual(set(SLOTS), set(run("ls", "/sys/bus/pci/devices").split()))
        self.assertEqual(run("ls", "/sys/bus/pci/drivers/amdgpu").split(), list(SLOTS))
        # A device of the host is the host's, by each way to it.
        for path in glob.glob("/sys/bus/pci/devices/*")[:1]:
            slot = os.path.basename(path)
            with open(path + "/vendor", encoding="ascii") as file:
                vendor = file.read()
            for way in (path + "/vendor", f"/sys/bus/pci/devices/./{slot}/vendor"):
                self.assertEqual(run("cat", way), vendor)
            self.assertEqual(run("sh", "-c", f"cd /sys/bus/pci/devices; cat {slot}/vendor"), vendor)
            self.assertEqual(run("realpath", path).strip(), os.path.realpath(path))

    def test_folders_of_both(self):
        for folder, names in (("/dev", {"kfd", "dri", "null"}), ("/sys/class", {"kfd", "drm", "hwmon"}),
                              ("/sys/module", {"amdgpu"}), ("/sys/bus/pci/drivers/", {"amdgpu"})):
            host = os.listdir(folder) if os.path.exists(folder) else []
            for command in (["ls", folder], ["find", folder, "-maxdepth", "1", "-printf", "%f\\n"],
                            ["python3", "-c", f"import os; print(*os.listdir('{folder}'))"]):
                shown = run(*command).split()
                self.assertEqual(len(shown), len(set(shown)), command)
                self.assertLessEqual(names | set(host), set(shown), command)
        self.assertEqual(run("find", "/dev", "-maxdepth", "1", "-name", "kfd", "-type", "c"),
                         "/dev/kfd\n")

    def test_find_and_stat(self):
        found = run("find", "/dev/dri", "-type", "c").split()
        self.assertLessEqual({"/dev/dri/card0", "/dev/dri/renderD129"}, set(found))
        found = run("find", "/sys/class/drm/card1/device/", "-maxdepth", "2", "-name",
                    "mem_info_*_total").split()
        self.assertEqual(len(found), 3)
        self.assertEqual(run("stat", "-c", "%F %t:%T", "/dev/kfd", "/dev/dri/card1"),
                         "character special file ea:0\ncharacter special file e2:1\n")
        self.assertEqual(run("stat", "-Lc", "%F", "/dev/dri/by-path/pci-0000:05:00.0-render"),
                         "character special file\n")

    def test_card_files(self):
        device = "/sys/class/drm/card1/device/"
        for name, text in (("vendor", "0x1002"), ("device", "0x731f"), ("class", "0x030000"),
                           ("revision", "0xc1"), ("current_link_speed", "16.0 GT/s PCIe"),
                           ("current_link_width", "16"), ("gpu_busy_percent", "0"),
                           ("mem_info_vram_total", str(8176 << 20))):
            self.assertEqual(run("cat", device + name), text + "\n", name)
        cpus = os.sysconf("SC_NPROCESSORS_ONLN")
        self.assertEqual(run("cat", device + "local_cpulist"),
                         "0\n" if cpus == 1 else f"0-{cpus - 1}\n")
        self.assertEqual(len(run("cat", device + "resource").splitlines()), 13)
        self.assertEqual(run("sh", "-c", f"wc -c <{device}config").strip(), "256")
        self.assertRegex(run("cat", device + "pp_dpm_sclk"), r"^0: \d+Mhz \*\n1: 2100Mhz\n$")
        self.assertEqual(run("sh", "-c", f"cat {device}hwmon/hwmon*/name"), "amdgpu\n")
        self.assertEqual(run("sh", "-c", "grep -l amdgpu /sys/class/hwmon/*/name | wc -l").strip(),
                         "2")

    def test_shells(self):
        for shell in ("sh", "bash"):
            if shutil.which(shell) is None:
                continue
            # A shell's own descriptors have low numbers; the machine's must not be in the way.
            script = "exec 3<>/dev/kfd 4</dev/dri/renderD128 5<&3 6</etc/passwd; exec 3>&-; " \
                     "ls -l /proc/$$/fd; :"
            links = dict(re.findall(r" (\d+) -> (.*)", run(shell, "-c", script)))
            self.assertNotIn("3", links)
            self.assertEqual([links[fd] for fd in "456"],
                             ["/dev/dri/renderD128", "/dev/kfd", "/etc/passwd"])
            self.assertEqual(run(shell, "-c", "for f in /dev/dri/render*; do echo $f; done").split(),
                             ["/dev/dri/renderD128", "/dev/dri/renderD129"])
            self.assertEqual(run(shell, "-c", "cd /sys/class/drm/card0/device && pwd -P").strip(),
                             "/sys/devices/pci0000:00/" + SLOTS[0])
            self.assertEqual(run(shell, "-c", "test -c /dev/kfd && test -r /dev/kfd && "
                                              "test -d /sys/module/amdgpu && echo yes"), "yes\n")
        run("cat", "/dev/kfd", code=1)
        run("sh", "-c", "echo x >/dev/kfd", code=1)

    def test_modules(self):
        self.assertIn("amdgpu ", run("cat", "/proc/modules"))
        self.assertEqual(run("cat", "/sys/module/amdgpu/initstate"), "live\n")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
