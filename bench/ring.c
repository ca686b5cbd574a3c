// The C reference of the ring benchmark: the driver's side of a split virtqueue (virtio 1.x, 2.7)
// against a device in the same process that answers at once. bench/main.ts does the same in
// TypeScript.
//
//   gcc -O2 -std=c11 -o ring ring.c && ./ring [millions of requests a round]
//
// Prints one JSON object: nanoseconds for a request (add, device, drain), median of 7 rounds.

#define _POSIX_C_SOURCE 200809L

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SIZE = 256, ROUNDS = 7, BUFFER_BYTES = 512 };

enum { DESC_F_NEXT = 1, DESC_F_WRITE = 2 };

// What both sides see, laid out as the specification says. x86 is little-endian, as virtio is.

struct desc {
  uint64_t addr;
  uint32_t len;
  uint16_t flags;
  uint16_t next;
};

struct avail {
  uint16_t flags;
  _Atomic uint16_t idx;
  uint16_t ring[SIZE];
  uint16_t used_event;
};

struct used_elem {
  uint32_t id;
  uint32_t len;
};

struct used {
  uint16_t flags;
  _Atomic uint16_t idx;
  struct used_elem ring[SIZE];
  uint16_t avail_event;
};

struct shared {
  _Alignas(4096) struct desc desc[SIZE];
  _Alignas(4096) struct avail avail;
  _Alignas(4096) struct used used;
};

// What only the driver sees. The free list is kept here and not in desc[].next, because a device
// can write there.

struct queue {
  struct shared *shared;
  uint16_t next[SIZE];   // of a free descriptor: the next free one; of a used one: the chain's next
  uint16_t length[SIZE]; // of a head: descriptors in its chain; 0 where no chain begins
  uint16_t free_head;
  uint16_t free_count;
  uint16_t avail_idx; // chains added; the device sees them from publish() on
  uint16_t used_idx;  // chains taken back
};

struct device {
  struct shared *shared;
  uint16_t avail_idx;
  uint16_t used_idx;
};

static void queue_init(struct queue *q, struct shared *shared) {
  *q = (struct queue){.shared = shared, .free_count = SIZE};
  for (int i = 0; i < SIZE; i++) q->next[i] = (uint16_t)((i + 1) % SIZE);
}

// Adds a chain of `count` descriptors, the last of which the device may write.
static void add(struct queue *q, uint64_t addr, uint16_t count) {
  if (q->free_count < count) abort();
  struct shared *s = q->shared;
  uint16_t head = q->free_head;
  uint16_t index = head;
  for (uint16_t left = count; left > 0; left--) {
    struct desc *d = &s->desc[index];
    uint16_t next = q->next[index];
    d->addr = addr;
    d->len = BUFFER_BYTES;
    d->flags = left > 1 ? DESC_F_NEXT : DESC_F_WRITE;
    d->next = next;
    addr += BUFFER_BYTES;
    index = next;
  }
  q->free_head = index;
  q->free_count -= count;
  q->length[head] = count;
  s->avail.ring[q->avail_idx++ % SIZE] = head;
}

// Shows the device everything added so far.
static void publish(struct queue *q) {
  atomic_store_explicit(&q->shared->avail.idx, q->avail_idx, memory_order_release);
}

// Takes back what the device is done with; returns the number of requests, adds up their bytes.
static unsigned drain(struct queue *q, uint64_t *bytes) {
  struct shared *s = q->shared;
  uint16_t end = atomic_load_explicit(&s->used.idx, memory_order_acquire);
  unsigned done = 0;
  while (q->used_idx != end) {
    struct used_elem e = s->used.ring[q->used_idx++ % SIZE];
    // The device is not believed: the id has to be the head of a chain in flight.
    if (e.id >= SIZE || q->length[e.id] == 0 || e.len > BUFFER_BYTES) abort();
    uint16_t head = (uint16_t)e.id;
    uint16_t last = head;
    for (uint16_t left = q->length[head]; left > 1; left--) last = q->next[last];
    q->next[last] = q->free_head;
    q->free_head = head;
    q->free_count += q->length[head];
    q->length[head] = 0;
    *bytes += e.len;
    done++;
  }
  return done;
}

// The device: takes each head and gives it back. noipa: the compiler may not look inside, so it has
// to assume that all of the shared memory is read and written here, and leaves no store out.
__attribute__((noipa)) static void device_run(struct device *device) {
  struct shared *s = device->shared;
  uint16_t end = atomic_load_explicit(&s->avail.idx, memory_order_acquire);
  while (device->avail_idx != end) {
    uint16_t head = s->avail.ring[device->avail_idx++ % SIZE];
    s->used.ring[device->used_idx++ % SIZE] = (struct used_elem){.id = head, .len = BUFFER_BYTES};
  }
  atomic_store_explicit(&s->used.idx, device->used_idx, memory_order_release);
}

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
  *shared = (struct shared){0};
  struct queue q;
  queue_init(&q, shared);
  struct device device = {.shared = shared};

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
