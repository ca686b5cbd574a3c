import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import type { FeatureRule } from "./features.ts";
import { FakeDevice } from "./fake_test.ts";
import { DeviceFault } from "../pci/device_fault.ts";
import { bit, Feature } from "./features.ts";
import { modernTransport } from "./modern.ts";
import { agree, dropUnmet, fallbacks, featureReport } from "./negotiate.ts";
import type { Transport } from "./transport.ts";

const set = (...features: number[]) => features.reduce((all, one) => all | bit(one), 0n);

const rules: readonly FeatureRule[] = [
  { bit: 1, name: "ONE", needs: [] },
  { bit: 2, name: "TWO", needs: [[1]] },
  { bit: 3, name: "THREE", needs: [[2], [1, 9]] },
  { bit: 4, name: "FOUR", needs: [[8, 9]] },
];

Deno.test("dropUnmet() takes out what lacks what it needs (D-27)", () => {
  const cases: readonly (readonly [bigint, bigint])[] = [
    [set(1, 2, 3), set(1, 2, 3)],
    [set(2, 3, 7), set(7)],
    [set(1, 3), set(1)],
    [set(4, 9), set(4, 9)],
    [set(4), 0n],
    [0n, 0n],
  ];
  for (const [offered, left] of cases) assertEquals(dropUnmet(offered, rules), left);
});

Deno.test("whatever features need, dropUnmet() comes to an end with all that can stand", () => {
  const need = fc.array(fc.nat(9), { minLength: 1, maxLength: 3 });
  const rule = fc.record({
    name: fc.constant("X"),
    bit: fc.nat(9),
    needs: fc.array(need, { maxLength: 2 }),
  });
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 12 }), fc.bigInt(0n, 1023n), (rules, offered) => {
      const left = dropUnmet(offered, rules);
      assertEquals(left & ~offered, 0n);
      for (const { bit: number, needs } of rules) {
        if (!(left & bit(number))) continue;
        assert(needs.every((any) => any.some((one) => left & bit(one))));
      }
    }),
  );
});

const everything = set(...Object.values(Feature), 3, 5);

Deno.test("fallbacks() give up more and more, and never what they need", () => {
  const sets = fallbacks(everything);
  assertEquals(sets[0], everything);
  for (const [i, features] of sets.entries()) {
    assert(features & bit(Feature.VERSION_1));
    assertEquals(features & set(3, 5), set(3, 5));
    if (i > 0) assert(features !== sets[i - 1] && (features & ~sets[i - 1]!) === 0n);
  }
  assert(!(sets.at(-1)! & bit(Feature.RING_RESET)));
  assertEquals(fallbacks(bit(Feature.VERSION_1)), [bit(Feature.VERSION_1)]);
});

/** A device that refuses every set with one of these features; the sets that it was asked for. */
function picky(refused: bigint) {
  let [select, written] = [0, 0n];
  const asked: bigint[] = [];
  const device = new FakeDevice({
    write(offset, value) {
      if (offset === 0x08) select = value;
      if (offset === 0x0c) {
        written &= ~(0xffffffffn << BigInt(32 * select));
        written |= BigInt(value) << BigInt(32 * select);
      }
      if (offset !== 0x14 || !(value & 8)) return undefined;
      asked.push(written);
      return written & refused ? value & ~8 : value;
    },
  });
  const transport = modernTransport(device);
  let greeted = 0;
  const greet = async () => {
    greeted++;
    await transport.reset();
    transport.addStatus(1);
    transport.addStatus(2);
  };
  return { transport, asked, greet, greeted: () => greeted };
}

Deno.test("agree() takes the first set that the device keeps (D-20)", async () => {
  for (const refused of [0n, bit(Feature.RING_PACKED), bit(Feature.RING_RESET)]) {
    const { transport, asked, greet, greeted } = picky(refused);
    await greet();
    const agreed = await agree(transport, everything, greet);
    assertEquals(agreed & refused, 0n);
    assertEquals(agreed, asked.at(-1));
    assertEquals(asked, fallbacks(everything).slice(0, asked.length));
    // A device that has refused is reset before it is asked again.
    assertEquals(greeted(), asked.length);
    assertEquals(transport.status(), 11);
  }
});

Deno.test("agree() says what it tried when the device refuses everything (D-20)", async () => {
  const { transport, asked, greet } = picky(bit(Feature.VERSION_1));
  const fault = await assertRejects(
    () => agree(transport, everything, greet),
    DeviceFault,
    "tried",
  );
  assertEquals([fault.rule, asked.length], ["D-20", fallbacks(everything).length]);
});

Deno.test("agree() only tells a legacy device", async () => {
  const accepted: bigint[] = [];
  const transport = { kind: "legacy", acceptFeatures: (f: bigint) => accepted.push(f) };
  const never = () => Promise.reject(new Error("it was reset"));
  assertEquals(await agree(transport as unknown as Transport, 7n, never), 7n);
  assertEquals(accepted, [7n]);
});

Deno.test("featureReport() says what became of each offered feature", () => {
  const offered = set(1, 3, 4, 6, 29, 32, 50);
  const usable = dropUnmet(offered, rules);
  const report = featureReport(offered, usable, set(1, 32), set(29), rules);
  assertEquals(report.map(({ bit, accepted, because }) => [bit, accepted, because]), [
    [1, true, undefined],
    [3, false, "it needs TWO and ONE or bit 9, which is not offered"],
    [4, false, "it needs bit 8 or bit 9, which is not offered"],
    [6, false, "unknown"],
    [29, false, "switched off"],
    [32, true, undefined],
    [50, false, "not used"],
  ]);
  assertEquals(report.map(({ name }) => name).slice(0, 4), ["ONE", "THREE", "FOUR", "bit 6"]);
});
