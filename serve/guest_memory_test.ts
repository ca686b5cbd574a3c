import { assertEquals, assertThrows } from "@std/assert";
import { descriptors } from "../tests/support/leaks.ts";
import { close } from "../core/linux/fd.ts";
import { UnfitMemory } from "../core/linux/foreign_memory.ts";
import { libc } from "../core/linux/libc.ts";
import { mapShared, memoryFile } from "../core/linux/memory.ts";
import { DeviceMemory } from "../simulation/device_memory.ts";
import { DriverFault } from "../core/virtqueue/device_queue.ts";
import { GuestMemory } from "./guest_memory.ts";

// Opened once for the whole process, so not by a test.
libc();

const PAGE = 4096;

/** A guest of two memory files of 16 pages each, and a device that knows it by two names. */
class Guest implements Disposable {
  readonly fds = [memoryFile("guest", 16 * PAGE), memoryFile("guest", 16 * PAGE)];
  readonly bytes = this.fds.map((fd) => new Uint8Array(mapShared(fd, 0, 16 * PAGE)));
  readonly spaces = [new DeviceMemory(), new DeviceMemory()];
  readonly memory = new GuestMemory(this.spaces, 4);

  /** Pages of a file, at a guest address and a user address. */
  region(file: number, first: number, pages: number, guest: number, user = guest + 2 ** 40) {
    return {
      fd: this.fds[file]!,
      offset: first * PAGE,
      size: pages * PAGE,
      addresses: [guest, user],
    };
  }

  [Symbol.dispose](): void {
    this.memory[Symbol.dispose]();
    this.fds.forEach(close);
  }
}

/** Bytes of a space, in one piece. */
function view(space: DeviceMemory | undefined, address: number, length: number) {
  const { memory, offset } = space!.find(address, length);
  return new Uint8Array(memory, offset, length);
}

Deno.test("regions are found by the addresses of each space, and are the guest's own bytes", () => {
  using guest = new Guest();
  guest.memory.add(guest.region(0, 2, 3, 0x10000));
  guest.memory.add(guest.region(1, 0, 1, 0x2_0000_0000));
  const [byGuest, byUser] = guest.spaces as [DeviceMemory, DeviceMemory];
  view(byGuest, 0x10000 + 5, 1)[0] = 7;
  view(byUser, 2 ** 40 + 0x2_0000_0000, 1)[0] = 8;
  assertEquals([guest.bytes[0]![2 * PAGE + 5], guest.bytes[1]![0]], [7, 8]);
  for (const address of [0, 0xffff, 0x10000 + 3 * PAGE, 2 ** 40]) {
    assertThrows(() => view(byGuest, address, 1), DriverFault, "cannot reach 1 bytes");
  }
  assertThrows(() => view(byGuest, 0x10000 + 3 * PAGE - 1, 2), DriverFault);
});

Deno.test("what is taken away is out of reach, for views that were made before, too", () => {
  using guest = new Guest();
  guest.memory.add(guest.region(0, 0, 4, 0x10000));
  guest.memory.add(guest.region(0, 8, 4, 0x20000));
  const old = view(guest.spaces[0], 0x10000, PAGE);
  const kept = view(guest.spaces[0], 0x20000, PAGE);
  old[0] = kept[0] = 1;
  assertEquals(guest.memory.remove(0, 0x10000, 4 * PAGE), 1);
  old[0] = kept[0] = 2;
  assertEquals([guest.bytes[0]![0], guest.bytes[0]![8 * PAGE]], [1, 2]);
  assertThrows(() => view(guest.spaces[0], 0x10000, 1), DriverFault);
  assertThrows(() => view(guest.spaces[1], 2 ** 40 + 0x10000, 1), DriverFault);
  assertEquals(guest.memory.remove(0, 0x10000, 4 * PAGE), 0);
  // A part of one is not taken away, and several are at once.
  assertThrows(() => guest.memory.remove(0, 0x20000, PAGE), UnfitMemory, "are a part of");
  guest.memory.add(guest.region(1, 0, 1, 0x30000));
  assertEquals(guest.memory.remove(1, 2 ** 40, 2 ** 30), 2);
  assertEquals(guest.memory.count, 0);
});

Deno.test("a byte that two regions have stays while one of them does", () => {
  using guest = new Guest();
  guest.memory.add(guest.region(0, 0, 4, 0x10000));
  guest.memory.add(guest.region(0, 2, 4, 0x20000));
  guest.memory.remove(0, 0x10000, 4 * PAGE);
  view(guest.spaces[0], 0x20000, 1)[0] = 9;
  assertEquals(guest.bytes[0]![2 * PAGE], 9);
});

Deno.test("regions that cannot be are refused by a sentence, and change nothing", () => {
  using guest = new Guest();
  guest.memory.add(guest.region(0, 0, 4, 0x10000));
  const before = descriptors().length;
  for (
    const [region, sentence] of [
      [guest.region(1, 0, 2, 0x13000), "overlaps that of 16384 at 0x10000"],
      [guest.region(1, 0, 1, 0x20000, 2 ** 40 + 0x10000), "overlaps that of"],
      [guest.region(1, 0, 17, 0x20000), "is not in its file, which has 65536"],
      [guest.region(1, 16, 1, 0x20000), "is not in its file"],
      [guest.region(1, 0, 0, 0x20000), "is empty"],
      [guest.region(1, 0, 1, 2 ** 53 - 1), "beyond all that a machine has"],
      [guest.region(1, 0, 1, -PAGE), "beyond all that a machine has"],
      [guest.region(1, 0, 1, NaN), "beyond all that a machine has"],
      [guest.region(1, 0.5, 1, 0x20000), "are not whole pages"],
      [guest.region(1, -1, 1, 0x20000), "are not whole pages"],
      [guest.region(1, Infinity, 1, 0x20000), "of its file"],
    ] as const
  ) {
    assertThrows(() => guest.memory.add(region), UnfitMemory, sentence);
    assertEquals([guest.memory.count, descriptors().length], [1, before]);
  }
  for (let i = 1; i < 4; i++) guest.memory.add(guest.region(1, i, 1, 0x100000 * i));
  assertThrows(() => guest.memory.add(guest.region(1, 9, 1, 0x900000)), UnfitMemory, "more than 4");
});

Deno.test("all regions are replaced at once; if one cannot be, there are none", () => {
  using guest = new Guest();
  guest.memory.replace([guest.region(0, 0, 4, 0x10000), guest.region(1, 0, 4, 0x20000)]);
  const old = view(guest.spaces[0], 0x10000, PAGE);
  const other = view(guest.spaces[0], 0x20000, PAGE);
  // It moves in the guest, and stays the same memory.
  guest.memory.replace([guest.region(0, 0, 4, 0x50000)]);
  assertEquals(view(guest.spaces[0], 0x50000, 1).buffer, old.buffer);
  old[0] = other[0] = 5;
  assertEquals([guest.bytes[0]![0], guest.bytes[1]![0]], [5, 0]);
  const before = descriptors().length;
  assertThrows(
    () => guest.memory.replace([guest.region(0, 0, 4, 0), guest.region(1, 0, 1, PAGE)]),
    UnfitMemory,
  );
  assertEquals([guest.memory.count, descriptors().length], [0, before - 1]);
  old[0] = 6;
  assertEquals(guest.bytes[0]![0], 5);
});

Deno.test("thousands of tables leave nothing behind", () => {
  using guest = new Guest();
  const before = descriptors().length;
  for (let i = 0; i < 3000; i++) {
    guest.memory.replace([guest.region(i % 2, 0, 4, 0x10000)]);
    view(guest.spaces[0], 0x10000, 1)[0]!++;
  }
  guest.memory[Symbol.dispose]();
  assertEquals(descriptors().length, before);
  assertEquals(guest.bytes[0]![0], 1500 % 256);
});
