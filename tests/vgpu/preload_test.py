#!/usr/bin/env python3
"""libkiln-vgpu.so under programs that never heard of Kiln: preload_test.py KILN_VGPU LIBRARY INFO COUNT_CALLS

Owns: the files that they see, descriptors over dup, fork and exec, what stays untouched, and
  kiln-vgpu's own messages. Answers of devices are those of kfd_chardev.c kfd_fops and amdgpu_drv.c
  amdgpu_driver_kms_fops.
"""
import ctypes
import errno
import fcntl
import glob
import mmap
import os
import select
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

GET_VERSION = 0x80084B01  # _IOR('K', 1, 8), include/uapi/linux/kfd_ioctl.h
NODES = "/sys/class/kfd/kfd/topology/nodes"
REAL_GPU = os.environ.get("PRELOAD_TEST_REAL_GPU") == "1"  # seen outside, for those inside


# ---- Run below the preload library, by name -----------------------------------------------------

def version(fd):
    return struct.unpack("II", fcntl.ioctl(fd, GET_VERSION, bytes(8)))


def refused(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    return 0


def in_child(call):
    """What `call` returns in a fork's child, 0 to 127."""
    child = os.fork()
    if child == 0:
        os._exit(call())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def inside_dup():
    fd = os.open("/dev/kfd", os.O_RDWR)
    assert version(fd)[0] == 1
    copies = [os.dup(fd), fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100), os.dup2(fd, 150)]
    assert copies[1] >= 100
    os.close(fd)
    for copy in copies:
        assert version(copy)[0] == 1
        assert os.fstat(copy).st_rdev >> 8 == 234
    # A number that is free again is an ordinary file's.
    for copy in copies:
        os.close(copy)
    plain = os.open("/etc/passwd", os.O_RDONLY)
    assert stat.S_ISREG(os.fstat(plain).st_mode)
    assert refused(version, plain) == 25  # ENOTTY
    # dup2 over a device closes it.
    fd = os.open("/dev/kfd", os.O_RDWR)
    os.dup2(plain, fd)
    assert refused(version, fd) == 25


def inside_fork():
    fd = os.open("/dev/kfd", os.O_RDWR)

    def inherited():
        return refused(version, fd)

    def its_own():
        own = os.open("/dev/kfd", os.O_RDWR)
        found = os.listdir(NODES)
        return 0 if version(own)[0] == 1 and "1" in found else 1

    assert in_child(inherited) == 9  # EBADF, as KFD answers another process
    assert in_child(its_own) == 0
    assert in_child(lambda: refused(os.close, fd)) == 0
    # A child that closes everything before it runs something else, vfork'd or not.
    subprocess.run(["true"], close_fds=True, check=True)
    subprocess.run(["true"], close_fds=True, preexec_fn=lambda: os.close(fd), check=True)
    assert version(fd)[0] == 1
    assert os.listdir(NODES) == os.listdir(NODES)


def inside_paths():
    nodes = ["card0", "card1", "renderD128", "renderD129"]
    assert set(os.listdir("/dev/dri")) >= {"by-path", *nodes}
    assert set(os.listdir("/sys/class/drm")) >= set(nodes)
    for path, device in (("/dev/kfd", (234, 0)), ("/dev/dri/renderD129", (226, 129))):
        status = os.stat(path)
        assert stat.S_ISCHR(status.st_mode), path
        assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == device, path
        assert os.access(path, os.R_OK | os.W_OK), path
    # Relative to a folder, and by a link.
    folder = os.open("/dev/dri", os.O_RDONLY | os.O_DIRECTORY)
    render = os.open("renderD128", os.O_RDWR, dir_fd=folder)
    assert os.fstat(render).st_rdev == os.makedev(226, 128)
    assert os.stat("renderD128", dir_fd=folder).st_rdev == os.makedev(226, 128)
    assert refused(os.open, "/dev/dri/renderD130", os.O_RDWR) == 2  # ENOENT
    device = os.path.realpath("/sys/dev/char/226:128/device")
    assert device.startswith("/sys/devices/pci0000:00/0000:"), device
    assert os.path.realpath("/sys/class/drm/renderD128/device") == device
    slot = os.path.basename(device)
    for path in (device, "/sys/bus/pci/devices/" + slot, "/sys/class/drm/renderD128/device"):
        with open(path + "/vendor", encoding="ascii") as file:
            assert file.read() == "0x1002\n"
    assert os.path.basename(os.readlink(device + "/subsystem")) == "pci"
    assert os.path.basename(os.readlink(device + "/driver")) == "amdgpu"
    with open("/sys//class/kfd/kfd/topology/nodes/1/properties", encoding="ascii") as file:
        properties = dict(line.split() for line in file)
    assert properties["gfx_target_version"] == "90010"
    assert properties["drm_render_minor"] == "128"
    with open("/sys/devices/virtual/kfd/kfd/dev", encoding="ascii") as file:
        assert file.read() == "234:0\n"
    with open("/proc/modules", encoding="ascii") as file:
        assert any(line.startswith("amdgpu ") for line in file)
    # The host's own files are the host's.
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert not os.path.exists("/sys/class/kfd/nothing")
    with open("/proc/self/comm", encoding="ascii") as file:
        assert file.read().startswith("python")


def inside_relative():
    # From another folder's descriptor, from the working directory, and by steps up.
    root = os.open("/", os.O_RDONLY)
    assert stat.S_ISCHR(os.stat("dev/kfd", dir_fd=root).st_mode)
    assert version(os.open("dev/kfd", os.O_RDWR, dir_fd=root))[0] == 1
    for path in ("/sys/../dev/kfd", "/dev/./kfd", "/proc/../dev//kfd"):
        assert stat.S_ISCHR(os.stat(path).st_mode), path
    os.chdir("/sys/class")
    assert os.listdir("kfd") == ["kfd"]
    os.chdir("/dev")
    assert version(os.open("./kfd", os.O_RDWR))[0] == 1
    os.chdir("dri")
    assert os.getcwd() == "/dev/dri", os.getcwd()
    assert os.fstat(os.open("renderD128", os.O_RDWR)).st_rdev == os.makedev(226, 128)
    assert os.path.realpath("by-path/../card0") == "/dev/dri/card0"
    os.chdir("/sys/class/drm/card0/device")
    assert os.getcwd() == os.path.realpath("/sys/class/drm/renderD128/device")
    with open("vendor", encoding="ascii") as file:
        assert file.read() == "0x1002\n"
    libc = ctypes.CDLL(None)
    found = (ctypes.c_size_t * 16)()
    assert libc.glob(b"/dev/dri/renderD*", 0, None, found) == 0
    assert found[0] == 1  # gl_pathc
    assert glob.glob("/sys/class/kfd/*/topology/nodes/[01]") != []


def inside_syscall():
    libc = ctypes.CDLL(None, use_errno=True)
    openat, close, ioctl, statx, readlink = 257, 3, 16, 332, 89  # asm/unistd_64.h
    fd = libc.syscall(openat, -100, b"/dev/kfd", os.O_RDWR, 0)
    assert fd >= 0
    room = ctypes.create_string_buffer(256)
    assert libc.syscall(ioctl, fd, GET_VERSION, room) == 0
    assert struct.unpack("II", room.raw[:8])[0] == 1
    assert libc.syscall(statx, -100, b"/dev/dri/renderD128", 0, 0x7ff, room) == 0
    assert stat.S_ISCHR(struct.unpack_from("H", room.raw, 28)[0])  # stx_mode
    link = f"/proc/self/fd/{fd}".encode()
    assert libc.syscall(readlink, link, room, 256) == len("/dev/kfd")
    assert libc.syscall(close, fd) == 0
    assert libc.syscall(ioctl, fd, GET_VERSION, room) == -1 and ctypes.get_errno() == errno.EBADF
    assert libc.syscall(39) == os.getpid()


def inside_operations():
    kfd = os.open("/dev/kfd", os.O_RDWR)
    node = os.open("/dev/dri/renderD128", os.O_RDWR | os.O_NONBLOCK)

    def errors(fd):
        return [refused(*call) for call in (
            (os.read, fd, 1), (os.pread, fd, 1, 0), (os.readv, fd, [bytearray(1)]),
            (os.write, fd, b"x"), (os.pwrite, fd, b"x", 0), (os.writev, fd, [b"x"]),
            (os.ftruncate, fd, 0), (os.lseek, fd, 4, os.SEEK_SET))]

    invalid, again = errno.EINVAL, errno.EAGAIN
    assert errors(kfd) == [invalid] * 7 + [errno.ESPIPE]
    assert errors(node) == [again] * 3 + [invalid] * 4 + [0]
    assert os.lseek(node, 4, os.SEEK_SET) == 0
    # KFD is always ready and cannot be waited for; a node has nothing to tell.
    poll = select.poll()
    poll.register(kfd)
    poll.register(node)
    assert [fd for fd, _ in poll.poll(0)] == [kfd]
    assert select.select([kfd, node], [], [], 0)[0] == [kfd]
    epoll = select.epoll()
    assert refused(epoll.register, kfd) == errno.EPERM
    epoll.register(node)
    assert epoll.poll(0) == []
    # Flags of open.
    libc = ctypes.CDLL(None, use_errno=True)
    assert fcntl.fcntl(kfd, fcntl.F_GETFD) == fcntl.FD_CLOEXEC  # Python asks for it
    plain = libc.open(b"/dev/kfd", os.O_RDWR)
    assert fcntl.fcntl(plain, fcntl.F_GETFD) == 0
    assert refused(os.open, "/dev/kfd", os.O_RDWR | os.O_DIRECTORY) == errno.ENOTDIR
    assert refused(os.open, "/dev/kfd", os.O_RDWR | os.O_CREAT | os.O_EXCL) == errno.EEXIST
    # Names behind descriptors, and what is opened by them.
    for fd, name in ((kfd, "/dev/kfd"), (node, "/dev/dri/renderD128")):
        assert os.readlink(f"/proc/self/fd/{fd}") == name
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
        assert os.fstat(again).st_rdev == os.fstat(fd).st_rdev
    # Streams, as C and as Python make them.
    libc.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.fopen(b"/dev/kfd", b"r+"))
    number = libc.fileno(stream)
    assert version(number)[0] == 1
    assert libc.fclose(stream) == 0
    assert refused(version, number) == errno.EBADF
    stream = ctypes.c_void_p(libc.fopen(b"/dev/null", b"r+"))
    libc.freopen.restype = ctypes.c_void_p
    assert libc.freopen(b"/dev/kfd", b"r+", stream) == stream.value
    assert version(libc.fileno(stream))[0] == 1
    assert libc.fclose(stream) == 0
    with open("/dev/kfd", "rb", buffering=0) as file:
        assert version(file)[0] == 1
    # Memory that is moved stays what it was.
    memory = mmap.mmap(-1, 8192)
    memory[:3] = b"abc"
    memory.resize(1 << 20)
    assert memory[:3] == b"abc"


def inside_close_all():
    os.open("/dev/kfd", os.O_RDWR)
    own = sorted(os.listdir("/dev/dri"))
    os.closerange(3, 1 << 16)
    libc = ctypes.CDLL(None)
    libc.close_range(3, 0xffffffff, 0)
    for fd in range(3, 2048):
        libc.close(fd)
    # Nobody may sweep away what this process still looks at.
    subprocess.run(["ls", "/dev/dri"], stdout=subprocess.DEVNULL, check=True)
    assert sorted(os.listdir("/dev/dri")) == own


def inside_environment():
    # A program without an environment still stands on this machine.
    ls = ["ls", "/dev/dri"]
    for arguments in ({"env": {}}, {"env": {"PATH": os.environ["PATH"]}},
                      {"env": {"LD_PRELOAD": "", "KILN_VGPU": "navi21"}}):
        shown = subprocess.run(ls, stdout=subprocess.PIPE, check=True, **arguments).stdout
        assert b"renderD128" in shown, arguments
    assert b"renderD128" in subprocess.check_output(["env", "-i", *ls])
    assert "renderD128" in os.popen("ls /dev/dri").read()
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "test -c /dev/kfd"], {})
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    without = subprocess.run(["test", "-e", "/dev/kfd"], env={"KILN_VGPU": ""}, check=False)
    assert without.returncode == (0 if REAL_GPU else 1)


def inside_threads():
    # Many threads, the first of which makes the machine, while others look and ask.
    failures = []

    def work():
        for _ in range(50):
            fd = os.open("/dev/kfd", os.O_RDWR)
            if version(fd)[0] != 1 or not stat.S_ISCHR(os.stat("/dev/dri/renderD128").st_mode):
                failures.append(fd)
            os.close(fd)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def inside_memory_in_use():
    def used():
        with open("/sys/class/drm/card0/device/mem_info_vram_used", encoding="ascii") as file:
            return int(file.read())

    before = used()
    kfd, node = os.open("/dev/kfd", os.O_RDWR), os.open("/dev/dri/renderD128", os.O_RDWR)
    with open(NODES + "/1/gpu_id", encoding="ascii") as file:
        gpu = int(file.read())
    fcntl.ioctl(kfd, 0x40084B15, struct.pack("II", node, gpu))  # ACQUIRE_VM
    megabytes = 64 << 20
    # ALLOC_MEMORY_OF_GPU: va, size, handle, mmap offset, GPU, VRAM | writable
    fcntl.ioctl(kfd, 0xC0284B16,
                struct.pack("QQQQII", 1 << 40, megabytes, 0, 0, gpu, 1 | 1 << 31))
    assert used() - before == megabytes, (before, used())


def inside_libdrm():
    drm = ctypes.CDLL("libdrm.so.2")
    amdgpu = ctypes.CDLL("libdrm_amdgpu.so.1")
    assert drm.drmGetDevices2(0, None, 0) == 2
    fd = os.open("/dev/dri/renderD128", os.O_RDWR)
    assert drm.drmGetNodeTypeFromFd(fd) == 2  # DRM_NODE_RENDER
    drm.drmGetRenderDeviceNameFromFd.restype = ctypes.c_char_p
    assert drm.drmGetRenderDeviceNameFromFd(fd) == b"/dev/dri/renderD128"
    major, minor, handle = ctypes.c_uint32(), ctypes.c_uint32(), ctypes.c_void_p()
    assert amdgpu.amdgpu_device_initialize(fd, ctypes.byref(major), ctypes.byref(minor),
                                           ctypes.byref(handle)) == 0
    assert major.value == 3
    amdgpu.amdgpu_get_marketing_name.restype = ctypes.c_char_p
    amdgpu.amdgpu_get_marketing_name.argtypes = [ctypes.c_void_p]
    assert amdgpu.amdgpu_get_marketing_name(handle) == b"AMD Instinct MI210"
    amdgpu.amdgpu_device_deinitialize.argtypes = [ctypes.c_void_p]
    assert amdgpu.amdgpu_device_deinitialize(handle) == 0
    # libdrm worked on its own copy of the descriptor.
    assert drm.drmGetNodeTypeFromFd(fd) == 2


# ---- Outside ------------------------------------------------------------------------------------

class PreloadTest(unittest.TestCase):
    def setUp(self):
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = tempfile.TemporaryDirectory(dir=memory)
        self.addCleanup(folder.cleanup)
        self.scratch = folder.name

    def run_tool(self, *arguments, **environment):
        settings = {name: text for name, text in os.environ.items()
                    if name not in ("KILN_VGPU", "LD_PRELOAD")}
        settings.update(environment, TMPDIR=self.scratch,
                        PRELOAD_TEST_REAL_GPU="1" if os.path.exists("/dev/kfd") else "0")
        return subprocess.run([KILN_VGPU, *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, env=settings)

    def output(self, *arguments, **environment):
        done = self.run_tool(*arguments, **environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def inside(self, name, gpu):
        self.output("--gpu", gpu, "--", sys.executable, __file__, "--inside", name)
        self.assertEqual(os.listdir(self.scratch), [])

    def test_descriptors(self):
        self.inside("dup", "mi300x")

    def test_fork(self):
        self.inside("fork", "navi31")

    def test_paths(self):
        self.inside("paths", "mi210,navi21")

    def test_relative_paths(self):
        self.inside("relative", "navi31")

    def test_syscall(self):
        self.inside("syscall", "navi31")

    def test_operations_of_devices(self):
        self.inside("operations", "navi31")

    def test_closing_everything(self):
        self.inside("close_all", "navi31")

    def test_environments(self):
        self.inside("environment", "navi31")

    def test_threads(self):
        self.inside("threads", "navi31")

    def test_memory_in_use(self):
        self.inside("memory_in_use", "navi31")

    def test_libdrm(self):
        self.inside("libdrm", "mi210,mi210")

    def test_shell_tools(self):
        run = ["--gpu", "navi31", "--"]
        self.assertEqual(self.output(*run, "cat", NODES + "/1/name"), "ip discovery\n")
        self.assertLessEqual({"by-path", "card0", "renderD128"},
                             set(self.output(*run, "ls", "/dev/dri").split()))
        self.assertEqual(self.output(*run, "stat", "-c", "%F %t:%T", "/dev/dri/renderD128"),
                         "character special file e2:80\n")
        listing = self.output(*run, "ls", "-l", "/dev/kfd", "/dev/dri")
        self.assertIn("234,", listing)
        found = self.output(*run, "find", "/sys/class/kfd/kfd/topology/", "-name", "gpu_id")
        self.assertEqual(len(found.split()), 2)
        self.assertEqual(self.output(*run, "sh", "-c", f"cat {NODES}/*/gpu_id").split()[0], "0")
        self.assertEqual(self.run_tool(*run, "cat", "/dev/dri").returncode, 1)
        self.assertEqual(os.listdir(self.scratch), [])

    def test_untouched_process_loads_nothing(self):
        maps = self.output("--gpu", "mi300x", "--", "cat", "/proc/self/maps")
        self.assertIn("libkiln-vgpu.so", maps)
        self.assertNotIn("libkiln-vgpu-engine", maps)
        self.assertNotIn("libstdc++", maps)
        maps = self.output("--gpu", "mi300x", "--", "cat", NODES + "/0/gpu_id",
                           "/proc/self/maps")
        self.assertIn("libkiln-vgpu-engine", maps)

    def calls(self, *command, **environment):
        settings = {name: text for name, text in os.environ.items()
                    if name not in ("KILN_VGPU", "LD_PRELOAD")}
        done = subprocess.run([COUNT_CALLS, "env", *(f"{name}={text}" for name, text
                                                     in environment.items()), *command],
                              stderr=subprocess.PIPE, text=True, env=settings)
        if done.returncode == 77:
            self.skipTest("programs cannot be traced here")
        self.assertEqual(done.returncode, 0, done.stderr)
        return int(done.stderr.split()[-1])

    def test_untouched_process_pays_for_its_loading_only(self):
        more = []
        for command in (["true"], ["cat", "/etc/passwd"], ["ls", "-l", "/etc"],
                        ["find", "/etc/default"], ["sh", "-c", ": </etc/passwd; test -d /usr"]):
            without = self.calls(*command)
            more.append(self.calls(*command, LD_PRELOAD=LIBRARY, KILN_VGPU="mi300x") - without)
        self.assertLess(more[0], 20)  # ld.so finds, reads and maps one library more
        # A longer environment may move a program's own memory.
        self.assertLess(max(more) - min(more), 3, more)

    def test_library_needs_libc_only_and_exports_its_names_only(self):
        dynamic = subprocess.check_output(["readelf", "-d", LIBRARY], text=True)
        needed = {line.split("[")[1].split("]")[0] for line in dynamic.splitlines()
                  if "(NEEDED)" in line}
        self.assertLessEqual(needed, {"libc.so.6", "ld-linux-x86-64.so.2", "libdl.so.2"})
        symbols = subprocess.check_output(["nm", "-D", "--defined-only", LIBRARY], text=True)
        libc = ctypes.CDLL("libc.so.6")
        names = [line.split()[-1] for line in symbols.splitlines()]
        self.assertIn("ioctl", names)
        self.assertEqual([name for name in names if not hasattr(libc, name)], [])

    def test_trees_of_dead_processes_are_swept(self):
        dead, held, other = (os.path.join(self.scratch, name)
                             for name in ("kiln-vgpu-dead12", "kiln-vgpu-held12", "another"))
        for path in (dead, held, other):
            os.makedirs(path + "/sys/class")
        lock = os.open(held, os.O_RDONLY)
        self.addCleanup(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.output("--gpu", "navi31", "--", "ls", "/dev/dri")
        self.assertEqual(sorted(os.listdir(self.scratch)), ["another", "kiln-vgpu-held12"])

    def test_kiln_info_runs_below_it(self):
        for gpu, name in (("mi300x", "MI300X"), ("rx7900xtx", "7900 XTX")):
            self.assertIn(name, self.output("--gpu", gpu, "--", INFO))
        # Its machine is libkiln's own: no second one was made.
        self.assertEqual(os.listdir(self.scratch), [])

    def test_spec_reaches_the_machine(self):
        text = self.output("--gpu", "navi31,vram=1G", "--", "cat",
                           NODES + "/1/mem_banks/0/properties")
        self.assertIn(f"size_in_bytes {1 << 30}\n", text)
        text = self.output("cat", NODES + "/1/name", KILN_VGPU="navi31")
        self.assertEqual(text, "ip discovery\n")

    def test_list(self):
        lines = [line.split() for line in self.output("--list").splitlines()]
        for product, target in (("mi300x", "gfx942"), ("navi31", "gfx1100"), ("mi210", "gfx90a"),
                                ("navi21", "gfx1030")):
            self.assertTrue(any(line[0] == product and target in line for line in lines), product)

    def test_errors_in_words(self):
        def refusal(code, text, *arguments, **environment):
            done = self.run_tool(*arguments, **environment)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(text, done.stderr)

        refusal(2, "--gpu NAME is missing", "true")
        refusal(2, "no GPU is called 'voodoo2'", "--gpu", "voodoo2", "--", "true")
        refusal(2, "no option is called 'speed'", "--gpu", "mi300x,speed=9", "--", "true")
        refusal(2, "no command given", "--gpu", "mi300x")
        refusal(127, "cannot run no-such-program", "--gpu", "mi300x", "--", "no-such-program")
        refusal(126, "cannot run /etc/passwd", "--gpu", "mi300x", "--", "/etc/passwd")
        # The library by itself, with a name that kiln-vgpu would have refused.
        done = subprocess.run(["ls", "/dev/kfd"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, env={"LD_PRELOAD": LIBRARY, "KILN_VGPU": "voodoo2",
                                              "PATH": os.environ["PATH"]})
        self.assertIn("no GPU is called 'voodoo2'", done.stderr)

    def test_arguments_pass_through(self):
        for arguments in (("--", "echo", "--list", "a b"), ("echo", "--list", "a b")):
            self.assertEqual(self.output("--gpu", "mi300x", *arguments), "--list a b\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        globals()["inside_" + sys.argv[2]]()
        sys.exit()
    KILN_VGPU, LIBRARY, INFO, COUNT_CALLS = (os.path.abspath(path) for path in sys.argv[1:5])
    unittest.main(argv=sys.argv[:1])
