import { assert, assertEquals, assertThrows } from "@std/assert";
import { Pair } from "../../core/bus/fake_test.ts";
import { Status } from "../../core/bus/lane.ts";
import { NetBurst } from "./burst.ts";
import { FrameSlots } from "./frame_slots.ts";
import { NetReceiveWord, NetTransmitWord, TRANSMIT_HEADROOM } from "./protocol.ts";
import { NetReceiver } from "./receiver.ts";
import { NetSlots } from "./slots.ts";

/** Slots of a card, and the driver's ends of its lanes. */
function bench() {
  const transmit = new Pair({ slots: 4, slotBytes: 256 });
  const long = new Pair({ slots: 2, slotBytes: 1024 });
  const receive = new Pair({ slots: 8, slotBytes: 256 });
  const receiver = new NetReceiver(receive.client, () => {});
  receiver.open();
  const frames = new FrameSlots(transmit.client, long.client);
  const slots = new NetSlots(frames, transmit.client, receive.client, receiver);
  /** A frame of so many slots comes. */
  const come = (...frame: number[]) => {
    frame.forEach((slot, i) => {
      receive.driver.setWord(slot, NetReceiveWord.place, i === 0 ? frame.length | 12 << 16 : 0);
    });
    receive.complete(frame, Status.ok, 60);
    receive.client.drain();
  };
  return { transmit, long, receive, receiver, slots, come };
}

/** The part of a burst that is used. */
function used({ slots, offsets, lengths, more, count }: NetBurst): number[][] {
  return [slots, offsets, lengths, more].map((each) => [...each.subarray(0, count)]);
}

Deno.test("a burst is taken, submitted and published by one call each, and releases itself #vtnet:burst", () => {
  const { transmit, slots } = bench();
  const burst = new NetBurst(3);
  assertEquals(slots.takeBurst(burst), 3);
  const first = [...burst.slots];
  burst.lengths.set([60, 61, 62]);
  slots.submitBurst(burst);
  assertEquals([burst.count, slots.inFlight], [0, 3]);
  const taken = transmit.take();
  assertEquals(taken, first);
  assertEquals(taken.map((slot) => transmit.driver.word(slot, NetTransmitWord.length)), [
    60,
    61,
    62,
  ]);
  assertEquals([slots.takeBurst(burst), slots.takeBurst(burst)], [1, 0]);
  transmit.complete(taken.slice(0, 2));
  transmit.complete(taken.slice(2), Status.failed);
  transmit.client.drain();
  assertEquals([slots.inFlight, slots.unsent], [0, 1]);
  assertEquals(slots.takeBurst(burst, 2), 2);
});

Deno.test("a burst says of each frame how it went, and leaves its slot to the caller #vtnet:burst", () => {
  const { transmit, slots } = bench();
  const burst = new NetBurst();
  slots.takeBurst(burst, 2);
  burst.lengths.fill(60);
  const ends: number[][] = [];
  slots.submitBurst(burst, (slot, status) => void ends.push([slot, status]));
  const [a, b] = transmit.take();
  transmit.complete([a!], Status.failed);
  transmit.complete([b!]);
  transmit.client.drain();
  assertEquals(ends, [[a, Status.failed], [b, Status.ok]]);
  assertEquals(slots.unsent, 0);
  slots.release(a!);
  slots.release(b!);
});

Deno.test("of a burst with a wrong frame nothing is submitted, and all slots stay their owner's #vtnet:burst", () => {
  const { transmit, slots } = bench();
  const burst = new NetBurst(4);
  slots.takeBurst(burst, 3);
  const lost = burst.slots[1]!;
  for (const length of [0, 13, 256, 2 ** 32 - 1]) {
    burst.lengths.set([60, length, 60]);
    assertThrows(() => slots.submitBurst(burst), RangeError, "burst.lengths[1]");
  }
  burst.lengths.fill(60);
  slots.release(lost);
  assertThrows(() => slots.submitBurst(burst), TypeError, `slot ${lost}`);
  assertEquals([transmit.take(), slots.inFlight, burst.count], [[], 0, 3]);
  for (const count of [-1, 5, 1.5, NaN]) {
    burst.count = count;
    assertThrows(() => slots.submitBurst(burst), Error, "burst.count");
  }
  assertThrows(() => slots.submitBurst({ count: 0 } as never), TypeError, "wanted a NetBurst");
  assertThrows(() => slots.takeBurst(undefined as never), TypeError, "wanted a NetBurst");
  assertThrows(() => slots.takeBurst(burst, -1), RangeError, "most");
  assertThrows(() => new NetBurst(0), RangeError, "capacity");
});

Deno.test("a slot that is in a burst twice is sent once, and what came before it is not held back #vtnet:burst", () => {
  const { transmit, slots } = bench();
  const burst = new NetBurst(4);
  slots.takeBurst(burst, 2);
  burst.lengths.fill(60);
  burst.slots[2] = burst.slots[0]!;
  burst.count = 3;
  assertThrows(() => slots.submitBurst(burst), TypeError, "in flight");
  assertEquals(transmit.take(), [...burst.slots.subarray(0, 2)]);
});

Deno.test("a slot has room for the frame that it was taken for, until it is released #vtnet:long", () => {
  const { transmit, long, slots } = bench();
  const { bytes, longest } = slots;
  assertEquals([bytes, longest], [256 - TRANSMIT_HEADROOM, 1024 - TRANSMIT_HEADROOM]);
  const taken = [slots.take(bytes), slots.take(bytes + 1), slots.take(longest)];
  assertEquals(taken.map((slot) => slots.data(slot).length), [bytes, longest, longest]);
  // There are slots, but none of them is long.
  assertEquals(slots.take(bytes + 1), -1);
  const last = slots.take();
  assertEquals(slots.take(), -1);
  slots.data(taken[1]!).fill(7);
  assertThrows(() => slots.submit(taken[0]!, bytes + 1, () => {}), RangeError, "length");
  const burst = new NetBurst(2);
  burst.slots.set(taken.slice(1));
  burst.lengths.set([bytes + 1, longest + 1]);
  burst.count = 2;
  assertThrows(() => slots.submitBurst(burst), RangeError, "burst.lengths[1]");
  burst.lengths[1] = longest;
  slots.submitBurst(burst);
  assertThrows(() => slots.release(taken[1]!), TypeError, "in flight");
  const sent = transmit.take();
  assertEquals(sent, taken.slice(1));
  const places = sent.map((slot) => transmit.driver.word(slot, NetTransmitWord.long) - 1);
  assertEquals(places.toSorted(), [0, 1]);
  assertEquals(long.data(places[0]!)[TRANSMIT_HEADROOM], 7);
  transmit.complete(sent);
  transmit.client.drain();
  const again = slots.take();
  assertEquals([taken.includes(again), slots.data(again).length], [true, bytes]);
  assertEquals(transmit.driver.word(again, NetTransmitWord.long), 0);
  assert(slots.take(longest) >= 0);
  assertEquals(slots.take(longest), -1);
  // The long one that had found no slot is free again.
  slots.release(last);
  assert(slots.take(longest) >= 0);
  assertThrows(() => slots.release(last + 100), TypeError, "there are 0 to 3");
  for (const wrong of [0, longest + 1, NaN, "60" as unknown as number]) {
    assertThrows(() => slots.take(wrong), Error, "bytes of NetSlots.take");
  }
});

Deno.test("drainBurst() gives whole frames, and those that have no room wait #vtnet:burst", () => {
  const { receive, receiver, come } = bench();
  const [a, b, c, d, e] = receive.take();
  come(a!);
  come(b!, c!);
  come(d!, e!);
  const burst = new NetBurst(4);
  assertEquals(receiver.drainBurst(burst), 2);
  assertEquals(used(burst), [[a, b, c], [12, 12, 0], [60, 60, 60], [0, 1, 0]]);
  const small = new NetBurst(1);
  assertThrows(() => receiver.drainBurst(small), RangeError, "a frame of 2 slots");
  assertEquals(receiver.waiting, 2);
  receiver.releaseBurst(burst);
  assertEquals(receive.take().toSorted(), [a, b, c].toSorted());
  assertEquals(receiver.drainBurst(burst), 1);
  assertEquals(used(burst)[0], [d, e]);
  assertEquals(receiver.drainBurst(new NetBurst(1)), 0);
});

Deno.test("releaseBurst() gives back what was lent, once #vtnet:burst", () => {
  const { receive, receiver, come } = bench();
  const [a, b] = receive.take();
  come(a!);
  come(b!);
  const burst = new NetBurst(2);
  receiver.drainBurst(burst);
  receiver.release(b!);
  assertThrows(() => receiver.releaseBurst(burst), TypeError, `slot ${b}`);
  assertThrows(() => receiver.releaseBurst(burst), TypeError, `slot ${a}`);
  receiver.publish();
  assertEquals(receive.take().toSorted(), [a, b].toSorted());
  come(a!);
  receiver.drain((slot) => {
    assertThrows(() => receiver.drainBurst(burst), TypeError, "while they are drained");
    receiver.release(slot);
  });
});
