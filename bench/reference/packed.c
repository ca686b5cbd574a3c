// The C reference of the ring benchmark: the driver's side of a packed virtqueue (virtio 1.x, 2.8)
// against a device in the same process that answers at once. suites/ring.ts does the same in
// TypeScript;
// ring.c is the same for a split virtqueue.
//
//   gcc -O2 -std=c11 -o packed packed.c && echo 32 | ./packed 1
//
// See measure.h for what it reads and prints.

#define _POSIX_C_SOURCE 200809L

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { SIZE = 256, BUFFER_BYTES = 512 };

enum { DESC_F_NEXT = 1, DESC_F_WRITE = 2, DESC_F_AVAIL = 1 << 7, DESC_F_USED = 1 << 15 };

enum { STATE = DESC_F_AVAIL | DESC_F_USED };

enum { RING_EVENT_FLAGS_DISABLE = 1 };

// What both sides see, laid out as the specification says. x86 is little-endian, as virtio is.

struct desc {
  uint64_t addr;
  uint32_t len;
  uint16_t id;
  _Atomic uint16_t flags;
};

struct event {
  uint16_t desc;
  _Atomic uint16_t flags;
};

struct shared {
  _Alignas(4096) struct desc desc[SIZE];
  _Alignas(4096) struct event device;
};

// What only the driver sees.

struct queue {
  struct shared *shared;
  uint16_t next[SIZE];   // of a free id: the next free one
  uint16_t length[SIZE]; // of an id: descriptors of its request; 0 where there is none
  uint16_t free_id;
  uint16_t free_count;
  uint16_t avail;       // slot of the next request
  uint16_t avail_state; // flags of an available descriptor there
  uint16_t used;        // slot of the next used descriptor
  uint16_t used_state;  // flags of it
  uint16_t held;        // the first slot that is not published, and its flags
  uint16_t held_flags;
  bool holds;
  uint64_t notifications;
};

struct device {
  struct shared *shared;
  uint16_t slot;
  uint16_t state;
};

static void set_flags(struct desc *d, uint16_t flags) {
  atomic_store_explicit(&d->flags, flags, memory_order_relaxed);
}

static void queue_init(struct queue *q, struct shared *shared) {
  *q = (struct queue){
      .shared = shared, .free_count = SIZE, .avail_state = DESC_F_AVAIL, .used_state = STATE};
  for (int i = 0; i < SIZE; i++) q->next[i] = (uint16_t)((i + 1) % SIZE);
}

// Adds a chain of `count` descriptors, the last of which the device may write. While the first
// new descriptor is not available the device does not look at the others.
static void add(struct queue *q, uint64_t addr, uint16_t count) {
  if (q->free_count < count) abort();
  struct shared *s = q->shared;
  uint16_t id = q->free_id;
  for (uint16_t left = count; left > 0; left--) {
    struct desc *d = &s->desc[q->avail];
    uint16_t flags = (left > 1 ? DESC_F_NEXT : DESC_F_WRITE) | q->avail_state;
    d->addr = addr;
    d->len = BUFFER_BYTES;
    d->id = id;
    if (q->holds) {
      set_flags(d, flags);
    } else {
      q->holds = true;
      q->held = q->avail;
      q->held_flags = flags;
    }
    addr += BUFFER_BYTES;
    if (++q->avail == SIZE) {
      q->avail = 0;
      q->avail_state ^= STATE;
    }
  }
  q->free_id = q->next[id];
  q->free_count -= count;
  q->length[id] = count;
}

// Shows the device everything added so far, and notifies it if it wishes that. The wish must be read
// behind the flags (2.8.21.3), hence the full barrier.
static void publish(struct queue *q) {
  struct desc *d = &q->shared->desc[q->held];
  atomic_store_explicit(&d->flags, q->held_flags, memory_order_release);
  q->holds = false;
  atomic_thread_fence(memory_order_seq_cst);
  uint16_t wish = atomic_load_explicit(&q->shared->device.flags, memory_order_relaxed);
  if (wish != RING_EVENT_FLAGS_DISABLE) q->notifications++;
}

// Takes back what the device is done with; returns the number of requests, adds up their bytes.
static unsigned drain(struct queue *q, uint64_t *bytes) {
  struct shared *s = q->shared;
  unsigned done = 0;
  while (q->free_count < SIZE) {
    struct desc *d = &s->desc[q->used];
    uint16_t flags = atomic_load_explicit(&d->flags, memory_order_acquire);
    if ((flags & STATE) != q->used_state) break;
    uint16_t id = d->id;
    uint32_t len = d->len;
    // The device is not believed: the id has to be that of a request in flight.
    if (id >= SIZE || q->length[id] == 0 || len > BUFFER_BYTES) abort();
    q->used += q->length[id];
    if (q->used >= SIZE) {
      q->used -= SIZE;
      q->used_state ^= STATE;
    }
    q->next[id] = q->free_id;
    q->free_id = id;
    q->free_count += q->length[id];
    q->length[id] = 0;
    *bytes += len;
    done++;
  }
  return done;
}

// The device: goes through each request and writes a used descriptor over its first one. noipa: the
// compiler may not look inside, so it has to assume that all of the shared memory is read and
// written here, and leaves no store out.
__attribute__((noipa)) static void device_run(struct device *device) {
  struct shared *s = device->shared;
  for (;;) {
    struct desc *first = &s->desc[device->slot];
    struct desc *d = first;
    uint16_t used = device->state == DESC_F_AVAIL ? STATE : 0;
    uint16_t flags = atomic_load_explicit(&first->flags, memory_order_acquire);
    if ((flags & STATE) != device->state) return;
    for (;;) {
      if (++device->slot == SIZE) {
        device->slot = 0;
        device->state ^= STATE;
      }
      if (!(flags & DESC_F_NEXT)) break;
      d = &s->desc[device->slot];
      flags = atomic_load_explicit(&d->flags, memory_order_relaxed);
    }
    first->id = d->id;
    first->len = BUFFER_BYTES;
    atomic_store_explicit(&first->flags, used | DESC_F_WRITE, memory_order_release);
  }
}

static void device_init(struct device *device, struct shared *shared) {
  *device = (struct device){.shared = shared, .state = DESC_F_AVAIL};
}

#include "measure.h"
