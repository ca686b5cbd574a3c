import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { byteRegisters } from "../pci/byte_registers.ts";
import { PciFault } from "../pci/fault.ts";
import { findStructures } from "./capabilities.ts";
import { type Capability, COMMON, configSpace, ISR, NOTIFY, SPECIFIC } from "./fake_test.ts";
import { DeviceFault } from "../pci/device_fault.ts";

const BAR_BYTES = 0x4000;
const barSize = (bar: number) => bar === 4 ? BAR_BYTES : undefined;

function find(...capabilities: readonly Capability[]) {
  return findStructures(configSpace(capabilities), barSize);
}

Deno.test("findStructures() finds what a device has, in any order", () => {
  const expected = {
    common: { bar: 4, offset: 0, length: 0x40 },
    notify: { bar: 4, offset: 0x3000, length: 0x100 },
    notifyMultiplier: 4,
    isr: { bar: 4, offset: 0x1000, length: 1 },
    device: { bar: 4, offset: 0x2000, length: 0x40 },
  };
  assertEquals(find(COMMON, NOTIFY, ISR, SPECIFIC), expected);
  assertEquals(find(SPECIFIC, ISR, NOTIFY, COMMON), expected);
  assertEquals(find(COMMON, NOTIFY, ISR), { ...expected, device: undefined });
});

Deno.test("findStructures() passes over what it does not know (D-04)", () => {
  const strange: Capability[] = [
    { type: 0, bar: 4 },
    { type: 5, bar: 4 },
    { type: 99, bar: 4 },
    { type: 1, id: 0x11, bar: 4, length: 0x40, offset: 0x80 },
    { type: 1, bytes: 3, bar: 4, length: 0x40, offset: 0x80 },
  ];
  assertEquals(find(...strange, COMMON, NOTIFY, ISR).common.offset, 0);
});

const kinds = { common: COMMON, notify: NOTIFY, isr: ISR, device: SPECIFIC };

/** Ways in which each capability can be unusable. */
const spoilt: readonly {
  rule: string;
  says: string;
  change: (c: Capability) => Partial<Capability>;
}[] = [
  { rule: "D-03", says: "has 8 bytes instead of", change: () => ({ bytes: 8 }) },
  { rule: "D-05", says: "names BAR 6", change: () => ({ bar: 6 }) },
  { rule: "D-05", says: "names BAR 255", change: () => ({ bar: 255 }) },
  { rule: "D-06", says: "which is no memory BAR", change: () => ({ bar: 2 }) },
  { rule: "D-07", says: "in BAR 4 of 16384 bytes", change: () => ({ offset: BAR_BYTES }) },
  {
    rule: "D-07",
    says: "ends at 16388 in",
    change: ({ length }) => ({ offset: BAR_BYTES - 0x100 + 4, length: Math.max(length!, 0x100) }),
  },
  { rule: "D-07", says: "in BAR 4", change: () => ({ length: 0xffffffff }) },
  // D-08: offset and length wrap 32 bits.
  { rule: "D-07", says: "ends at 4294971", change: () => ({ offset: 0xfffff000, length: 0x2000 }) },
  { rule: "D-10", says: "a structure of 0 bytes", change: () => ({ length: 0 }) },
];

for (const { rule, says, change } of spoilt) {
  Deno.test(`findStructures() refuses a capability that ${says} (${rule})`, () => {
    for (const name of ["common", "notify", "isr"] as const) {
      const bad = { ...kinds[name], ...change(kinds[name]) };
      const all = Object.entries(kinds).map(([own, good]) => own === name ? bad : good);
      const fault = assertThrows(() => find(...all), DeviceFault, says);
      assertEquals(fault.rule, rule);
      assert(fault.message.includes("4.1.4"));
      // The first usable one counts (4.1.4): what is wrong with those before it does not matter.
      assertEquals(find(bad, ...Object.values(kinds))[name].bar, 4);
      const later = { ...kinds[name], offset: 0x40 };
      assertEquals(find(bad, ...Object.values(kinds), later)[name].offset, kinds[name].offset);
    }
    // The device configuration is optional.
    const bad = { ...SPECIFIC, ...change(SPECIFIC) };
    assertEquals(find(COMMON, NOTIFY, ISR, bad).device, undefined);
  });
}

for (
  const [name, offset] of [["common", 2], ["common", 1], ["notify", 1], ["device", 2]] as const
) {
  Deno.test(`findStructures() refuses ${name} at the odd offset ${offset} (D-09)`, () => {
    const all = Object.entries(kinds).map(([own, good]) =>
      own === name ? { ...good, offset } : good
    );
    if (name === "device") return assertEquals(find(...all).device, undefined);
    assertEquals(assertThrows(() => find(...all), DeviceFault, "odd offset").rule, "D-09");
  });
}

Deno.test("findStructures() knows how long each structure is at least (D-10)", () => {
  const least = { common: 56, notify: 2, isr: 1, device: 1 };
  for (const [name, length] of Object.entries(least)) {
    const with_ = (length: number) =>
      Object.entries(kinds).map(([own, good]) => own === name ? { ...good, length } : good);
    assert(find(...with_(length))[name as "common"]);
    if (name === "device") assertEquals(find(...with_(0)).device, undefined);
    else assertEquals(assertThrows(() => find(...with_(length - 1)), DeviceFault).rule, "D-10");
  }
});

for (const missing of ["common", "notify", "isr"] as const) {
  Deno.test(`findStructures() needs ${missing} (D-11)`, () => {
    const rest = Object.entries(kinds).filter(([name]) => name !== missing).map(([, good]) => good);
    const fault = assertThrows(() => find(...rest), DeviceFault, "there is no such capability");
    assertEquals(fault.rule, "D-11");
  });
}

Deno.test("findStructures() says all that is wrong with the capabilities of a kind", () => {
  const bad = [{ ...ISR, bar: 6 }, { ...ISR, length: 0 }];
  const fault = assertThrows(() => find(COMMON, NOTIFY, ...bad), DeviceFault, "names BAR 6; ");
  assert(fault.message.includes("structure of 0 bytes"));
});

Deno.test("findStructures() takes multipliers that are 0 or an even power of two (D-14)", () => {
  for (const multiplier of [0, 2, 4, 4096, 2 ** 31]) {
    assertEquals(find(COMMON, { ...NOTIFY, multiplier }, ISR).notifyMultiplier, multiplier);
  }
  for (const multiplier of [3, 6, 4097, 2 ** 32 - 1]) {
    const fault = assertThrows(() => find(COMMON, { ...NOTIFY, multiplier }, ISR), DeviceFault);
    assertEquals(fault.rule, "D-14");
  }
});

Deno.test("findStructures() refuses the odd multiplier 1 (D-14; virtio 1.4, 4.1.4.4.1)", () => {
  const odd = { ...NOTIFY, multiplier: 1 };
  assertEquals(assertThrows(() => find(COMMON, odd, ISR), DeviceFault).rule, "D-14");
});

Deno.test("whatever stands in a configuration space, findStructures() finds what is inside its BARs", () => {
  const capability: fc.Arbitrary<Capability> = fc.record({
    type: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.nat(255)),
    bar: fc.oneof(fc.constant(4), fc.nat(255)),
    offset: fc.oneof(fc.nat(BAR_BYTES + 64), fc.nat(0xffffffff)),
    length: fc.oneof(fc.nat(BAR_BYTES), fc.nat(0xffffffff)),
    multiplier: fc.oneof(fc.constantFrom(0, 2, 4), fc.nat(0xffffffff)),
    bytes: fc.oneof(fc.constant(20), fc.nat(255)),
  });
  const space = fc.array(capability, { maxLength: 9 }).chain((list) =>
    fc.tuple(fc.constant(list), fc.array(fc.tuple(fc.nat(255), fc.nat(255)), { maxLength: 3 }))
  );
  const honest = [COMMON, NOTIFY, ISR, SPECIFIC];
  fc.assert(
    fc.property(space, fc.boolean(), ([list, pokes], withHonest) => {
      const from = configSpace([...list, ...(withHonest ? honest : [])].slice(0, 9));
      const bytes = Uint8Array.from({ length: 256 }, (_, i) => from.read8(i));
      for (const [at, value] of pokes) if (at >= 0x34) bytes[at] = value;
      try {
        const { common, notify, isr, device } = findStructures(byteRegisters(bytes), barSize);
        for (const each of [common, notify, isr, ...(device ? [device] : [])]) {
          assertEquals(each.bar, 4);
          assert(each.length > 0 && each.offset + each.length <= BAR_BYTES);
        }
        assertEquals([common.offset % 4, notify.offset % 2, (device?.offset ?? 0) % 4], [0, 0, 0]);
      } catch (error) {
        if (!(error instanceof DeviceFault || error instanceof PciFault)) throw error;
      }
    }),
    { numRuns: 3000 },
  );
});
