// What both C references have in common: the measuring. The file that includes this has defined the
// rings: struct shared, queue and device, queue_init(), device_init(), add(), publish(), drain(),
// device_run(), SIZE and BUFFER_BYTES.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 7 };

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

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(struct queue *q, struct device *device, uint16_t descriptors, unsigned batch,
                     long requests) {
  double rounds[ROUNDS];
  run(q, device, descriptors, batch, requests / 4); // warm-up
  for (int i = 0; i < ROUNDS; i++) rounds[i] = run(q, device, descriptors, batch, requests);
  qsort(rounds, ROUNDS, sizeof rounds[0], ascending);
  return rounds[ROUNDS / 2];
}

int main(int argc, char **argv) {
  long requests = (argc > 1 ? atol(argv[1]) : 4) * 1000000;
  if (requests <= 0) {
    fprintf(stderr, "usage: %s [millions of requests a round]\n", argv[0]);
    return 2;
  }

  struct shared *shared = aligned_alloc(4096, sizeof *shared);
  if (shared == NULL) return 1;
  memset(shared, 0, sizeof *shared);
  struct queue q;
  queue_init(&q, shared);
  struct device device;
  device_init(&device, shared);

  const uint16_t descriptors[] = {1, 3};
  const unsigned batches[] = {1, 32};
  const char *separator = "";
  printf("{\"unit\":\"ns/request\",\"results\":[");
  for (int d = 0; d < 2; d++) {
    for (int b = 0; b < 2; b++) {
      double ns = median(&q, &device, descriptors[d], batches[b], requests);
      printf("%s{\"descriptors\":%d,\"batch\":%u,\"ns\":%.2f}", separator, descriptors[d],
             batches[b], ns);
      separator = ",";
    }
  }
  printf("]}\n");
  free(shared);
  return 0;
}
