import { assertEquals } from "@std/assert";
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

Deno.test("enumerate() says of a bridge that no bus number is left for it, and goes on #core:io_space", () => {
  let chain: FakeFunction = { device: 0 };
  for (let i = 0; i < 300; i++) chain = { device: 0, behind: [chain] };
  const found = flatten(enumerate(fakeMachine([chain, { device: 1 }])));
  assertEquals(found.length, 257);
  const unseen = found.filter(({ unseen }) => unseen !== undefined);
  assertEquals(unseen.map(({ address }) => formatAddress(address)), ["0000:ff:00.0"]);
  assertEquals(
    unseen[0]!.unseen,
    "no bus number is left for what is behind it: 0 to 255 are in use",
  );
});

Deno.test("enumerate() numbers what is behind further root buses apart #core:pxb", () => {
  const bridges = (count: number): FakeFunction[] =>
    Array.from({ length: count }, (_, device) => ({ device, behind: [{ device: 7 }] }));
  const roots = new Map([0, 4, 128].map((bus) => [bus, fakeMachine(bridges(5), bus)]));
  const owner = (bus: number) => bus >= 128 ? 128 : bus >= 4 ? 4 : 0;
  const found = flatten(
    enumerate((address) => roots.get(owner(address.bus))!(address), [0, 4, 128]),
  );
  const buses = (from: number, to: number) =>
    found.filter(({ address }) => address.device === 7 && address.bus >= from && address.bus < to)
      .map(({ address }) => address.bus);
  assertEquals(buses(0, 4), [1, 2, 3], "4 is a root bus itself");
  assertEquals(buses(4, 128), [5, 6, 7, 8, 9]);
  assertEquals(buses(128, 256), [129, 130, 131, 132, 133]);
  assertEquals(found.filter(({ unseen }) => unseen).length, 2);
});
