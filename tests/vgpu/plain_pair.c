/* Two processes on one GPU, in plain C: no line of Kiln.
 * Owns: what they must see of each other's memory through dma-bufs that are passed by SCM_RIGHTS,
 *   copied by SDMA and by kernels, and that the death of one is no matter to the other.
 *   plain-pair TARGET KILLS: exit code 0 if all came out right, else a message and 1.
 * Does not own: the helpers (plain_gpu.h), what answers.
 * Threading: one thread in each process.
 *
 * Sources: see plain_gpu.h; LLVM AMDGPUUsage "Kernel Descriptor" and "Initial Kernel Execution
 * State"; the HSA runtime specification for the dispatch packet. Machine code by llvm-mc 22.
 */
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "plain_gpu.h"

#define WORDS (DATA / 4)
#define HALF (DATA / 2)
#define FLIPPED 0x5a5a5a5au

/* u32 at to + 4 * i = u32 at from + 4 * i, xor FLIPPED; kernel arguments: to, from.
 *   s_load_dwordx4 s[4:7], s[0:1], 0x0
 *   s_lshl_b32 s3, s2, 6
 *   v_and_b32 v0, 0x3ff, v0
 *   v_or_b32 v0, s3, v0
 *   v_lshlrev_b32 v0, 2, v0
 *   s_waitcnt lgkmcnt(0)
 *   global_load_dword v1, v0, s[6:7]
 *   s_waitcnt vmcnt(0)
 *   v_xor_b32 v1, 0x5a5a5a5a, v1
 *   global_store_dword v0, v1, s[4:5]
 *   s_endpgm
 */
static const uint32_t flip_gfx942[] = {
    0xc00a0100, 0x00000000, 0x8e038602, 0x260000ff, 0x000003ff, 0x28000003, 0x24000082, 0xbf8cc07f,
    0xdc508000, 0x01060000, 0xbf8c0f70, 0x2a0202ff, 0x5a5a5a5a, 0xdc708000, 0x00040100, 0xbf810000};
static const uint32_t flip_gfx1100[] = {
    0xf4080100, 0xf8000000, 0x84038602, 0x360000ff, 0x000003ff, 0x38000003, 0x30000082, 0xbf89fc07,
    0xdc520000, 0x01060000, 0xbf8903f7, 0x3a0202ff, 0x5a5a5a5a, 0xdc6a0000, 0x00040100, 0xbfb00000};

static struct queue sdma, aql;
static struct buffer fence, code, arguments, staging;
static uint32_t fences;

static uint32_t pattern(uint32_t seed, uint32_t word) {
  return (word + seed) * 2654435761u;
}

/* ---- The GPU's part ------------------------------------------------------------------------- */

static void start(void) {
  open_gpu();
  sdma = create_queue(KFD_IOC_QUEUE_TYPE_SDMA);
  aql = create_queue(KFD_IOC_QUEUE_TYPE_COMPUTE_AQL);
  fence = system_memory(PAGE);
  code = system_memory(PAGE);
  arguments = system_memory(PAGE);
  staging = system_memory(DATA);
  const int cdna = gpu.target < 100000;
  volatile uint32_t* descriptor = code.host;
  descriptor[4] = 256;                              /* code entry, from the descriptor on */
  descriptor[12] = cdna ? 1u << 6 : 0;              /* RSRC1: 32 SGPRs; 8 VGPRs */
  descriptor[13] = 2u << 1 | 1u << 7;               /* RSRC2: 2 user SGPRs, workgroup id x */
  descriptor[14] = 1u << 3 | (cdna ? 0 : 1u << 10); /* kernarg pointer; wave32 */
  memcpy((char*)code.host + 256, cdna ? flip_gfx942 : flip_gfx1100, sizeof flip_gfx942);
}

static void copy(uint64_t to, uint64_t from, uint32_t bytes) {
  sdma_copy(&sdma, to, from, bytes);
  sdma_fence(&sdma, fence.va, ++fences);
  ring(&sdma, sdma.put * 4);
  wait_for(fence.host, fences, "copy");
}

static void flip(uint64_t to, uint64_t from, uint32_t bytes) {
  volatile uint32_t* signal = fence.host + 64;
  init_signal(signal, 0, 0);
  const uint64_t words[] = {to, from};
  memcpy((void*)arguments.host, words, sizeof words);
  uint32_t packet[16] = {0};
  packet[0] = 0x1502 | 1u << 16; /* dispatch, barrier bit, system fences; one dimension */
  packet[1] = 64 | 1u << 16;     /* workgroup: 64, 1, 1 */
  packet[2] = 1;
  packet[3] = bytes / 4; /* grid */
  packet[4] = packet[5] = 1;
  packet[8] = LOW(code.va);
  packet[9] = HIGH(code.va);
  packet[10] = LOW(arguments.va);
  packet[11] = HIGH(arguments.va);
  packet[14] = LOW(fence.va + 256);
  packet[15] = HIGH(fence.va + 256);
  put_aql(&aql, packet);
  wait_for(signal + 2, 0, "kernel");
}

/* What the GPU sees of memory, by way of memory of this process. */
static void expect(uint64_t at, uint32_t bytes, uint32_t seed, uint32_t flipped, const char* what) {
  memset((void*)staging.host, 0, bytes);
  copy(staging.va, at, bytes);
  for (uint32_t i = 0; i < bytes / 4; ++i)
    CHECK(staging.host[i] == (pattern(seed, i) ^ flipped), "%s: dword %u: %x", what, i,
          staging.host[i]);
}

static void fill(uint64_t at, uint32_t bytes, uint32_t seed) {
  for (uint32_t i = 0; i < bytes / 4; ++i) staging.host[i] = pattern(seed, i);
  copy(at, staging.va, bytes);
}

/* ---- dma-bufs and messages ------------------------------------------------------------------ */

static int export_buffer(const struct buffer* buffer) {
  struct kfd_ioctl_export_dmabuf_args args = {.handle = buffer->handle, .flags = O_CLOEXEC};
  CHECK(ioctl(kfd, AMDKFD_IOC_EXPORT_DMABUF, &args) == 0, "export");
  return (int)args.dmabuf_fd;
}

/* Mapped to the GPU at an address of this process; for the host by the dma-buf's own mmap. */
static struct buffer import_buffer(int fd, uint64_t bytes) {
  void* at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(at != MAP_FAILED, "mmap of a dma-buf");
  struct kfd_ioctl_import_dmabuf_args args = {
      .va_addr = (uint64_t)at, .gpu_id = gpu.id, .dmabuf_fd = fd};
  CHECK(ioctl(kfd, AMDKFD_IOC_IMPORT_DMABUF, &args) == 0, "import");
  uint32_t ids[1] = {gpu.id};
  struct kfd_ioctl_map_memory_to_gpu_args map = {
      .handle = args.handle, .device_ids_array_ptr = (uint64_t)ids, .n_devices = 1};
  CHECK(ioctl(kfd, AMDKFD_IOC_MAP_MEMORY_TO_GPU, &map) == 0, "map");
  return (struct buffer){.host = at, .va = (uint64_t)at, .bytes = bytes, .handle = args.handle};
}

/* One letter and, if `fd` is not negative, a descriptor. */
static void say(int channel, char letter, int fd) {
  struct iovec data = {&letter, 1};
  char room[CMSG_SPACE(sizeof fd)];
  memset(room, 0, sizeof room);
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  if (fd >= 0) {
    message.msg_control = room;
    message.msg_controllen = sizeof room;
    struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  CHECK(sendmsg(channel, &message, MSG_NOSIGNAL) == 1, "send '%c'", letter);
}

/* The descriptor that came along, or -1. */
static int hear(int channel, char letter) {
  char got = 0;
  struct iovec data = {&got, 1};
  int fd = -1;
  char room[CMSG_SPACE(sizeof fd)];
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  CHECK(recvmsg(channel, &message, MSG_CMSG_CLOEXEC) == 1, "the other process is gone");
  CHECK(got == letter, "heard '%c', not '%c'", got, letter);
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != NULL) memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

static pid_t spawn(const char* role, int* channel) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
  const pid_t child = fork();
  CHECK(child >= 0, "fork");
  if (child == 0) {
    char number[16];
    snprintf(number, sizeof number, "%d", pair[1]);
    fcntl(pair[1], F_SETFD, 0); /* open over exec */
    execl("/proc/self/exe", "plain-pair", role, number, (char*)NULL);
    _exit(127);
  }
  close(pair[1]);
  *channel = pair[0];
  return child;
}

/* ---- Both ways ------------------------------------------------------------------------------ */

static void be_peer(int channel) {
  start();
  const int fd = hear(channel, 'a');
  struct buffer theirs = import_buffer(fd, DATA);
  close(fd); /* the memory lives by its handle */
  expect(theirs.va, HALF, 1, 0, "filled by the other's SDMA");
  flip(theirs.va + HALF, theirs.va, HALF);
  struct buffer mine = allocate(DATA, KFD_IOC_ALLOC_MEM_FLAGS_VRAM);
  fill(mine.va, DATA, 2);
  const int own = export_buffer(&mine);
  say(channel, 'b', own);
  close(own);
  hear(channel, 'c');
  expect(mine.va, HALF, 3, FLIPPED, "written by the other's kernel");
  CHECK(mine.host[1] == (pattern(3, 1) ^ FLIPPED), "the host sees it: %x", mine.host[1]);
  flip(mine.va, mine.va, HALF);
  fill(theirs.va, DATA, 4);
  say(channel, 'd', -1);
}

static void test_both_ways(void) {
  int channel;
  const pid_t peer = spawn("peer", &channel);
  struct buffer shared = allocate(DATA, KFD_IOC_ALLOC_MEM_FLAGS_VRAM);
  flip(shared.va, shared.va, DATA); /* caches know it from before */
  fill(shared.va, HALF, 1);
  int fd = export_buffer(&shared);
  say(channel, 'a', fd);
  close(fd);
  fd = hear(channel, 'b');
  expect(shared.va + HALF, HALF, 1, FLIPPED, "flipped by the other's kernel");
  struct buffer theirs = import_buffer(fd, DATA);
  close(fd);
  expect(theirs.va, DATA, 2, 0, "memory of the other");
  fill(shared.va, HALF, 3);
  flip(theirs.va, shared.va, HALF);
  say(channel, 'c', -1);
  hear(channel, 'd');
  flip(theirs.va + HALF, theirs.va, HALF); /* again, through the same caches */
  expect(theirs.va + HALF, HALF, 3, FLIPPED, "read by a kernel after it changed");
  expect(shared.va, DATA, 4, 0, "filled by the other's SDMA");
  int status;
  CHECK(waitpid(peer, &status, 0) == peer && status == 0, "peer: status %x", status);
  close(channel);
  expect(theirs.va, HALF, 3, 0, "memory of a process that has ended");
  release_memory(&theirs);
  release_memory(&shared);
  --made_count;
}

/* ---- kill -9 -------------------------------------------------------------------------------- */

/* Busy with the other's memory until it is killed. */
static void be_victim(int channel) {
  start();
  const int fd = hear(channel, 'a');
  struct buffer theirs = import_buffer(fd, DATA);
  struct buffer mine = allocate(DATA, KFD_IOC_ALLOC_MEM_FLAGS_VRAM);
  fill(mine.va, DATA, 5);
  say(channel, 'b', export_buffer(&mine));
  for (;;) {
    flip(mine.va, theirs.va, HALF);
    copy(mine.va + HALF, theirs.va, HALF);
  }
}

static unsigned entries(const char* folder) {
  unsigned count = 0;
  DIR* open_folder = opendir(folder);
  CHECK(open_folder != NULL, "%s", folder);
  while (readdir(open_folder) != NULL) ++count;
  closedir(open_folder);
  return count;
}

/* Resident pages of this process, in KiB. */
static unsigned long resident(void) {
  unsigned long pages = 0;
  FILE* file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL && fscanf(file, "%*u %lu", &pages) == 1, "statm");
  fclose(file);
  return pages * (PAGE / 1024);
}

static void kill_one(const struct buffer* shared) {
  int channel, status;
  const pid_t victim = spawn("victim", &channel);
  int fd = export_buffer(shared);
  say(channel, 'a', fd);
  close(fd);
  fd = hear(channel, 'b');
  struct buffer theirs = import_buffer(fd, DATA);
  close(fd);
  CHECK(kill(victim, SIGKILL) == 0, "kill");
  CHECK(waitpid(victim, &status, 0) == victim && WIFSIGNALED(status), "status %x", status);
  close(channel);
  fill(theirs.va, HALF, 6); /* its memory lives on here */
  expect(theirs.va, HALF, 6, 0, "memory of a process that was killed");
  expect(shared->va, DATA, 7, 0, "memory that a killed process had");
  release_memory(&theirs);
}

static void test_kills(unsigned kills) {
  struct buffer shared = allocate(DATA, KFD_IOC_ALLOC_MEM_FLAGS_VRAM);
  fill(shared.va, DATA, 7);
  unsigned fds = 0, threads = 0;
  unsigned long kilobytes = 0;
  for (unsigned i = 0; i < kills; ++i) {
    kill_one(&shared);
    if (i != 2) continue;
    fds = entries("/proc/self/fd");
    threads = entries("/proc/self/task");
    kilobytes = resident();
  }
  CHECK(entries("/proc/self/fd") == fds, "descriptors: %u, were %u", entries("/proc/self/fd"), fds);
  CHECK(entries("/proc/self/task") == threads, "threads: were %u", threads);
  CHECK(resident() < kilobytes + 4 * DATA / 1024, "resident: %lu KiB, were %lu", resident(),
        kilobytes);
  flip(shared.va, shared.va, DATA);
  expect(shared.va, DATA, 7, FLIPPED, "the survivor's own");
}

int main(int argc, char** argv) {
  CHECK(argc >= 2, "TARGET KILLS");
  signal(SIGALRM, SIG_DFL);
  alarm(900); /* a process whose other half fails does not stay */
  if (strcmp(argv[1], "peer") == 0) return be_peer(atoi(argv[2])), 0;
  if (strcmp(argv[1], "victim") == 0) return be_victim(atoi(argv[2])), 0;
  start();
  CHECK(gpu.target == strtoull(argv[1], NULL, 10), "target %llu", gpu.target);
  test_both_ways();
  if (argc > 2) test_kills((unsigned)atoi(argv[2]));
  destroy_queue(&aql);
  destroy_queue(&sdma);
  printf("ok: gfx target %llu\n", gpu.target);
  return 0;
}
