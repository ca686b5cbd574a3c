import { assertEquals, assertThrows } from "@std/assert";
import { formatAddress } from "./address.ts";
import { PRIMARY_BUS, SECONDARY_BUS, SUBORDINATE_BUS } from "./config_space.ts";
import { enumerate, flatten } from "./enumerate.ts";
import { type FakeFunction, fakeMachine } from "./fake_functions_test.ts";

function addresses(functions: readonly FakeFunction[]): string[] {
  return flatten(enumerate(fakeMachine(functions))).map(({ address }) => formatAddress(address));
}

Deno.test("enumerate() finds functions, and several of one device only if it says so", () => {
  assertEquals(
    addresses([
      { device: 0 },
      { device: 3, multi: true },
      { device: 3, function: 2 },
      { device: 4 },
      { device: 4, function: 1 },
      { device: 31 },
    ]),
    ["0000:00:00.0", "0000:00:03.0", "0000:00:03.2", "0000:00:04.0", "0000:00:1f.0"],
  );
});

Deno.test("enumerate() finds nothing on an empty bus", () => {
  assertEquals(addresses([]), []);
});

Deno.test("enumerate() numbers the buses behind bridges depth first", () => {
  const access = fakeMachine([
    { device: 1, behind: [{ device: 0, behind: [{ device: 5 }] }, { device: 1, behind: [] }] },
    { device: 2, behind: [{ device: 0 }] },
    { device: 3 },
  ]);
  const found = flatten(enumerate(access));
  assertEquals(found.map(({ address }) => formatAddress(address)), [
    "0000:00:01.0",
    "0000:00:02.0",
    "0000:00:03.0",
    "0000:01:00.0",
    "0000:01:01.0",
    "0000:02:05.0",
    "0000:04:00.0",
  ]);
  const buses = found.filter(({ behind }) => behind).map(({ config }) =>
    [PRIMARY_BUS, SECONDARY_BUS, SUBORDINATE_BUS].map(config.read8)
  );
  assertEquals(buses, [[0, 1, 3], [0, 4, 4], [1, 2, 2], [1, 3, 3]]);
});

Deno.test("enumerate() gives up after 256 buses", () => {
  let chain: FakeFunction = { device: 0 };
  for (let i = 0; i < 300; i++) chain = { device: 0, behind: [chain] };
  assertThrows(() => addresses([chain]), RangeError, "behind 0000:ff:00.0: all 256 are in use");
});
