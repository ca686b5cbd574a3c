// A contender of the block benchmark: 4 KiB reads through libblkio of a disk that another program serves
// by vhost-user. suites/blk.ts does the same in TypeScript.
//
//   blkio <socket> polling|events
//
// Prints "ready", then for each line that it reads, a number of requests in flight, thousand reads a
// second.

#define _POSIX_C_SOURCE 200809L

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <blkio.h> // needs <signal.h> and <time.h>

enum { BYTES = 4096, MOST = 128 };

static const double SECONDS = 0.2;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int failed(const char *what) {
  printf("libblkio: %s: %s\n", what, blkio_get_error_msg());
  return 1;
}

// Keeps so many reads in flight for a while. Returns how many thousand ended in a second, or -1.
static double run(struct blkioq *q, char *memory, uint64_t capacity, int depth) {
  struct blkio_completion done[MOST];
  char *spare[MOST]; // buffers that no read is for
  int spares = depth;
  for (int i = 0; i < depth; i++) spare[i] = memory + (size_t)i * BYTES;
  uint64_t at = 0;
  long ended = 0;
  double begin = now();
  bool over = false;
  do {
    while (!over && spares > 0) {
      char *buffer = spare[--spares];
      blkioq_read(q, at, buffer, BYTES, buffer, 0);
      at = (at + BYTES) % capacity;
    }
    int n = blkioq_do_io(q, done, 1, MOST, NULL);
    if (n < 0) return -1;
    for (int i = 0; i < n; i++) {
      if (done[i].ret != 0) return -1;
      spare[spares++] = done[i].user_data;
    }
    ended += n;
    over = now() - begin >= SECONDS;
  } while (spares < depth);
  return (double)ended / (now() - begin) / 1e3;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc != 3) return 2;
  bool polling = strcmp(argv[2], "polling") == 0;
  struct blkio *b;
  struct blkio_mem_region region;
  uint64_t capacity;
  if (blkio_create("virtio-blk-vhost-user", &b) < 0) return failed("create");
  if (blkio_set_str(b, "path", argv[1]) < 0) return failed("path");
  if (blkio_connect(b) < 0) return failed("connect");
  if (blkio_set_int(b, "num-queues", !polling) < 0) return failed("num-queues");
  if (blkio_set_int(b, "num-poll-queues", polling) < 0) return failed("num-poll-queues");
  if (blkio_start(b) < 0) return failed("start");
  if (blkio_get_uint64(b, "capacity", &capacity) < 0) return failed("capacity");
  if (blkio_alloc_mem_region(b, &region, MOST * BYTES) < 0) return failed("memory");
  if (blkio_map_mem_region(b, &region) < 0) return failed("map");
  struct blkioq *q = polling ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, 0);

  char line[64];
  puts("ready");
  while (fgets(line, sizeof line, stdin) != NULL) {
    int depth = atoi(line);
    double a_second = depth < 1 || depth > MOST ? -1 : run(q, region.addr, capacity, depth);
    if (a_second < 0) puts("a read failed");
    else printf("%.3f\n", a_second);
  }
  blkio_destroy(&b);
  return 0;
}
