/* Owns: timing one call at a time and printing its percentiles as a JSON line.
 * Does not own: what is timed.
 * Threading: one thread. */
#pragma once

#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { kPeerBatches = 60, kPeerBatch = 32 };

static inline uint64_t peer_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* User-space instructions of this thread; -1 where the host does not count them. */
static inline int peer_counter(void) {
  struct perf_event_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.size = sizeof attributes;
  attributes.type = PERF_TYPE_HARDWARE;
  attributes.config = PERF_COUNT_HW_INSTRUCTIONS;
  attributes.exclude_kernel = 1;
  attributes.exclude_hv = 1;
  return (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

static inline int peer_order(const void* a, const void* b) {
  const uint64_t x = *(const uint64_t*)a, y = *(const uint64_t*)b;
  return x < y ? -1 : x > y;
}

/* Calls operation(context) in batches of kPeerBatch; settle(context) runs untimed after each and
 * lets the GPU finish. First each call is timed by itself, for percentiles, which hold the clock's
 * own time; then whole batches, whose quickest, by the call, is what ratios are made of. */
static inline void peer_time(const char* name, const char* until, void (*operation)(void*),
                             void (*settle)(void*), void* context) {
  static uint64_t nanoseconds[kPeerBatches * kPeerBatch];
  unsigned count = 0;
  for (int batch = -kPeerBatches / 10; batch < kPeerBatches; batch++) {  // the first warm up
    for (int i = 0; i < kPeerBatch; i++) {
      const uint64_t start = peer_now();
      operation(context);
      const uint64_t took = peer_now() - start;
      if (batch >= 0) nanoseconds[count++] = took;
    }
    settle(context);
  }
  uint64_t best = UINT64_MAX, instructions = 0;
  const int counter = peer_counter();
  for (int batch = 0; batch < kPeerBatches; batch++) {
    uint64_t before = 0, after = 0;
    if (counter >= 0 && read(counter, &before, sizeof before) != sizeof before) before = 0;
    const uint64_t start = peer_now();
    for (int i = 0; i < kPeerBatch; i++) operation(context);
    const uint64_t took = peer_now() - start;
    if (counter >= 0 && read(counter, &after, sizeof after) != sizeof after) after = 0;
    if (took < best) {
      best = took;
      instructions = (after - before) / kPeerBatch;
    }
    settle(context);
  }
  qsort(nanoseconds, count, sizeof *nanoseconds, peer_order);
  printf(
      "{\"row\": \"%s\", \"until\": \"%s\", \"best_ns\": %.1f, \"p50_ns\": %llu, \"p99_ns\": %llu",
      name, until, (double)best / kPeerBatch, (unsigned long long)nanoseconds[count / 2],
      (unsigned long long)nanoseconds[count * 99 / 100]);
  if (counter >= 0) {
    printf(", \"instructions\": %llu", (unsigned long long)instructions);
    close(counter);
  }
  printf(", \"calls\": %u}\n", count);
  fflush(stdout);
}
