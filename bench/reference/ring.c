// The C reference of the ring benchmark: the driver's side of a split virtqueue (virtio 1.x, 2.7)
// against a device in the same process that answers at once. suites/ring.ts does the same in
// TypeScript.
//
//   gcc -O2 -std=c11 -o ring ring.c && echo 32 | ./ring 1
//
// See measure.h for what it reads and prints.

#define _POSIX_C_SOURCE 200809L

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

enum { SIZE = 256, BUFFER_BYTES = 512 };

enum { DESC_F_NEXT = 1, DESC_F_WRITE = 2, USED_F_NO_NOTIFY = 1 };

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
  _Atomic uint16_t flags;
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
  uint64_t notifications;
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

// Shows the device everything added so far, and notifies it if it wishes that. The wish must be read
// behind the index (2.7.13.4), hence the full barrier.
static void publish(struct queue *q) {
  atomic_store_explicit(&q->shared->avail.idx, q->avail_idx, memory_order_release);
  atomic_thread_fence(memory_order_seq_cst);
  uint16_t wish = atomic_load_explicit(&q->shared->used.flags, memory_order_relaxed);
  if (!(wish & USED_F_NO_NOTIFY)) q->notifications++;
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

static void device_init(struct device *device, struct shared *shared) {
  *device = (struct device){.shared = shared};
}

#include "measure.h"
