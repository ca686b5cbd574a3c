import { SCHEMA } from "../../json.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Ran, runFake, VTNET, type World } from "../../fake_test.ts";
import { FakeCard, gateway, type Peer } from "../../net/fake_test.ts";

function run(line: string, peer: Peer = gateway, world: World = {}): Promise<Ran> {
  const card = world.card ?? new FakeCard(peer);
  return runFake(`net ping ${line}`, { drivers: [VTNET], refusal: "", ...world, card });
}

const STATIC = "--address 10.0.2.77/24 --gateway 10.0.2.2 --interval 0.001";

Deno.test("net ping prints what ping(8) prints", async () => {
  const { exit, out, err, calls } = await run("10.0.2.2 --count 2 --interval 0.001 --size 8");
  assertEquals(exit, 0, err);
  const lines = out.split("\n");
  assertEquals(lines[0], "PING 10.0.2.2 (10.0.2.2) from 10.0.2.15 : 8(36) bytes of data.");
  assertMatch(lines[1]!, /^16 bytes from 10\.0\.2\.2: icmp_seq=1 ttl=64 time=\d+\.\d{3} ms$/);
  assertMatch(lines[2]!, /^16 bytes from 10\.0\.2\.2: icmp_seq=2 ttl=64 time=\d+\.\d{3} ms$/);
  assertEquals(lines.slice(3, 5), ["", "--- 10.0.2.2 ping statistics ---"]);
  assertMatch(lines[5]!, /^2 packets transmitted, 2 received, 0% packet loss, time \d+ms$/);
  assertMatch(lines[6]!, /^rtt min\/avg\/max\/mdev = (\d+\.\d{3}\/){3}\d+\.\d{3} ms$/);
  assertEquals(err, "Address 10.0.2.15, lent by 10.0.2.2 for 3600 seconds");
  assertEquals(calls.slice(-2), ["detach 0000:00:03.0", "close kernel"]);
});

Deno.test("net ping --json says the same to programs", async () => {
  const { exit, out } = await run("fec0::2 --count 3 --interval 0.001 --json");
  assertEquals(exit, 0);
  const { roundTrip, answers, milliseconds, device, ...rest } = JSON.parse(out);
  assertEquals([device.address, device.driver.name], ["0000:00:03.0", "vtnet"]);
  assertEquals(rest, {
    schema: SCHEMA,
    command: "net ping",
    machine: { kind: "local", description: "a made-up local" },
    mac: "52:54:00:12:34:56",
    source: "fec0::5054:ff:fe12:3456",
    target: "fec0::2",
    gateway: "fe80::2",
    lease: null,
    count: 3,
    interval: 0.001,
    size: 56,
    transmitted: 3,
    received: 3,
  });
  assertEquals(Object.keys(roundTrip), ["minimum", "average", "maximum", "deviation"]);
  assertEquals(answers.map(({ sequence }: { sequence: number }) => sequence), [1, 2, 3]);
  assertEquals(milliseconds > 0, true);
});

Deno.test("net ping exits with 1 when nothing answers", async () => {
  // A gateway that answers ARP only.
  const silent: Peer = (frame) => frame.type === 0x0806 ? gateway(frame) : [];
  const { exit, out } = await run(`10.0.2.2 --count 1 ${STATIC}`, silent);
  assertEquals(exit, 1);
  assertMatch(out, /1 packets transmitted, 0 received, 100% packet loss, time \d+ms$/);
});

Deno.test("net ping prints what it has when it is interrupted, and when the card goes away", async () => {
  for (const end of ["interrupted", "gone", "late"] as const) {
    const controller = new AbortController();
    const card = new FakeCard((frame) => {
      if (frame.type === 0x0800) {
        setTimeout(() => end === "gone" ? card.end() : end === "late" ? 0 : interrupt());
      }
      return gateway(frame);
    });
    const { CliError } = await import("../../exit.ts");
    const interrupt = () => controller.abort(new CliError(130, "Ended by SIGINT"));
    const late = end === "late" ? "--timeout 0.2" : "";
    const line = `10.0.2.2 --address 10.0.2.77/24 --count 9 ${late}`;
    const world = {
      card,
      signal: controller.signal,
      ...(end === "gone" ? { gone: "it fell" } : {}),
    };
    const { exit, out, err } = await run(line, gateway, world);
    assertMatch(out, /\n1 packets transmitted, 1 received, 0% packet loss/, end);
    assertEquals(exit, { interrupted: 130, gone: 7, late: 124 }[end], err);
    if (end === "gone") assertStringIncludes(err, "Cannot go on with 0000:00:03.0: it fell");
  }
});

/** A wrong command line, and what is said. */
const WRONG: readonly (readonly [string, string])[] = [
  ["example.org", 'Cannot read "example.org" as an IP address: it looks like 10.0.2.2'],
  ["10.0.2.2 --count 0", 'Unknown value "0" for --count: wanted a whole number from 1 to 65535'],
  ["10.0.2.2 --count 1.5", 'Unknown value "1.5" for --count'],
  ["10.0.2.2 --interval soon", 'Unknown value "soon" for --interval: wanted a number from 0'],
  ["10.0.2.2 --gateway 10.0.2.1", "Cannot use --gateway without --address"],
  ["10.0.2.2 --address 10.0.2.1", 'Unknown value "10.0.2.1" for --address: wanted an address and'],
  ["10.0.2.2 --address 10.0.2.1/33", 'Unknown value "10.0.2.1/33" for --address'],
  ["10.0.2.2 --address fe80::1/64", 'Unknown value "fe80::1/64" for --address'],
  ["fe80::2 --address fe80::1/64 --gateway 10.0.2.2", 'Unknown value "10.0.2.2" for --gateway'],
];

for (const [line, message] of WRONG) {
  Deno.test(`net ping ${line}: exit 2, and nothing is opened`, async () => {
    const { exit, err, calls } = await run(line);
    assertEquals([exit, calls], [2, []]);
    assertStringIncludes(err, `error: ${message}`);
  });
}

Deno.test("net ping says why the card is gone, also before the first request", async () => {
  const card = new FakeCard(() => []);
  setTimeout(() => card.end(), 10);
  const { exit, out, err } = await run("10.0.2.2", gateway, { card, gone: "it fell" });
  assertEquals([exit, out], [7, ""]);
  assertStringIncludes(err, "error: Cannot go on with 0000:00:03.0: it fell");
});

/** Each MTU, and the most data of an echo request over IPv4 and IPv6; none where the family cannot be used. */
const MOST: readonly (readonly [mtu: number, ipv4: number, ipv6: number | undefined])[] = [
  [68, 40, undefined],
  [576, 548, undefined],
  [1279, 1251, undefined],
  [1280, 1252, 1232],
  [1500, 1472, 1452],
  [9000, 8972, 8952],
  [65535, 65507, 65487],
];

for (const [mtu, ...most] of MOST) {
  Deno.test(`net ping sends what just fits an MTU of ${mtu}, and no byte more #cli:ping_sizes`, async () => {
    for (
      const [target, family, size] of [
        ["10.0.2.2 --address 10.0.2.77/24", "IPv4", most[0]],
        ["fec0::2 --address fec0::77/64", "IPv6", most[1]],
      ] as const
    ) {
      const ask = async (size: number) => {
        const card = new FakeCard(gateway, mtu);
        const line = `${target} --count 1 --interval 0.001 --size ${size}`;
        return { card, ...await run(line, gateway, { card }) };
      };
      if (size === undefined) {
        const { exit, err } = await ask(0);
        assertEquals(exit, 1);
        assertStringIncludes(err, `${family}: it needs packets of 1280 bytes, and 0000:00:03.0`);
        continue;
      }
      for (const fits of [0, 1, size - 1, size]) {
        const { exit, out, err } = await ask(fits);
        assertEquals([exit, err], [0, ""]);
        assertStringIncludes(out, `${fits + 8} bytes from `);
      }
      const { card } = await ask(size);
      assertEquals(Math.max(...card.sent.map(({ length }) => length)), mtu + 14);
      const over = await ask(size + 1);
      assertEquals([over.exit, over.card.sent], [2, []]);
      assertStringIncludes(
        over.err,
        mtu === 65535 ? `from 0 to ${size}` : `--size ${size} is the most`,
      );
    }
  });
}

Deno.test("net ping says why there is no DHCP over short packets", async () => {
  const short = await run("10.0.2.2", gateway, { card: new FakeCard(gateway, 575) });
  assertEquals(short.exit, 1);
  assertStringIncludes(short.err, "DHCP needs packets of 576 bytes, and the card sends up to 575");
  const line = "10.0.2.2 --count 1 --interval 0.001";
  assertEquals((await run(line, gateway, { card: new FakeCard(gateway, 576) })).exit, 0);
});

Deno.test("net ping refuses what cannot be sent", async () => {
  const card = new FakeCard(gateway);
  card.linkUp = false;
  const down = await run("10.0.2.2", gateway, { card });
  assertEquals(down.exit, 1);
  assertStringIncludes(down.err, "Cannot ping: the link of 0000:00:03.0 is down");
});
