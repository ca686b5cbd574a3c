import { assertEquals, assertThrows } from "@std/assert";
import { byteRegisters } from "../pci/byte_registers.ts";
import { CONTROL_BYTES, ControlWord } from "./control.ts";
import { BusFault } from "./mailbox.ts";
import { answerRegisters, askedRegisters } from "./register_call.ts";

/** Both sides in one thread: the core answers when it is rung for. */
function pair(answer = true) {
  const words = new Int32Array(new SharedArrayBuffer(CONTROL_BYTES));
  const bytes = [new Uint8Array(16), new Uint8Array(4096)];
  const windows = bytes.map((each) => byteRegisters(each));
  let rung = 0;
  const asked = askedRegisters([{ name: "a", bytes: 16 }, { name: "b", bytes: 4096 }], {
    words,
    ring: () => {
      rung++;
      if (answer) assertEquals(answerRegisters(words, windows), true);
    },
    wait: (done) => {
      if (!done()) throw new Error("too late");
    },
  });
  return { words, bytes, windows, asked, rings: () => rung };
}

Deno.test("a register is read and written by the core, in its own width", () => {
  const { asked: { a, b }, bytes, words, windows, rings } = pair();
  b!.write32(4092, 0xfedcba98);
  b!.write16(2, 0x1_2345);
  b!.write8(1, 0x177);
  assertEquals([b!.read32(4092), b!.read16(2), b!.read8(1)], [0xfedcba98, 0x2345, 0x77]);
  assertEquals([...bytes[1]!.subarray(0, 4)], [0, 0x77, 0x45, 0x23]);
  assertEquals([a!.read32(12), a!.size, b!.size], [0, 16, 4096]);
  assertEquals(rings(), 7);
  assertEquals(answerRegisters(words, windows), false);
});

Deno.test("a driver asks for nothing outside of its windows", () => {
  const { asked: { a }, rings } = pair();
  for (const at of [-4, 16, 14, 1, NaN, 0.5]) {
    assertThrows(() => a!.read32(at), RangeError);
    assertThrows(() => a!.write32(at, 1), RangeError);
  }
  assertEquals(rings(), 0);
});

Deno.test("a core that does not answer is not waited for without end", () => {
  assertThrows(() => pair(false).asked.a!.read8(0), Error, "too late");
});

Deno.test("the core makes no access that was not granted, whatever stands in the words #core:register_windows", () => {
  for (
    const [window, width, offset] of [
      [2, 4, 0],
      [-1, 4, 0],
      [0, 3, 0],
      [0, 8, 0],
      [0, 4, 16],
      [
        0,
        4,
        -4,
      ],
      [0, 2, 1],
      [0, 4, 0x7ffffffc],
    ] as const
  ) {
    const { words, windows, bytes } = pair();
    words.set([1, window, width, 1, offset, 7], ControlWord.registerAsked);
    assertThrows(() => answerRegisters(words, windows), BusFault, "not granted");
    assertEquals(bytes.every((each) => each.every((byte) => byte === 0)), true);
  }
});
