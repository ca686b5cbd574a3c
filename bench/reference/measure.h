// What both C references have in common: the measuring. The file that includes this has defined the
// rings: struct shared, queue and device, queue_init(), device_init(), add(), publish(), drain(),
// device_run(), SIZE and BUFFER_BYTES.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REQUESTS = 4000000 };

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// noipa again: the compiler shall not make a version of the loop for each mode.
__attribute__((noipa)) static double run(
    struct queue *q, struct device *device, uint16_t descriptors, unsigned batch, long requests) {
  uint64_t bytes = 0;
  long done = 0;
  double begin = now_ns();
  while (done < requests) {
    for (unsigned i = 0; i < batch; i++) add(q, 0x100000 + (uint64_t)i * 4096, descriptors);
    publish(q);
    device_run(device);
    done += drain(q, &bytes);
  }
  double end = now_ns();
  if (bytes != (uint64_t)done * BUFFER_BYTES || q->free_count != SIZE) abort();
  return (end - begin) / (double)done;
}

// A contender: prints "ready", then for each line that it reads, a number of requests for each publish
// and drain, the nanoseconds that a request took.
int main(int argc, char **argv) {
  int descriptors = argc == 2 ? atoi(argv[1]) : 0;
  if (descriptors < 1 || descriptors > SIZE) {
    fprintf(stderr, "usage: %s <descriptors of a request>\n", argv[0]);
    return 2;
  }

  struct shared *shared = aligned_alloc(4096, sizeof *shared);
  if (shared == NULL) return 1;
  memset(shared, 0, sizeof *shared);
  struct queue q;
  queue_init(&q, shared);
  struct device device;
  device_init(&device, shared);

  char line[64];
  setvbuf(stdout, NULL, _IOLBF, 0);
  puts("ready");
  while (fgets(line, sizeof line, stdin) != NULL) {
    int batch = atoi(line);
    if (batch < 1 || batch * descriptors > SIZE) puts("the batch does not fit into the ring");
    else printf("%.2f\n", run(&q, &device, (uint16_t)descriptors, (unsigned)batch, REQUESTS));
  }
  free(shared);
  return 0;
}
