/** Interrupt pins: where QEMU leads them, and devices that have nothing else. */

import { assert, assertEquals } from "@std/assert";
import { clear } from "../../linux/fd.ts";
import { InterruptLoop } from "../../irq/interrupt_loop.ts";
import { COMMAND, COMMAND_INTX_DISABLE } from "../../pci/config_space.ts";
import { enumerate } from "../../pci/enumerate.ts";
import { fakeMachine } from "../../pci/fake_functions_test.ts";
import { isMsixEnabled } from "../../pci/msix.ts";
import { legacyTransport } from "../../virtio/legacy.ts";
import { modernTransport } from "../../virtio/modern.ts";
import { CONFIG_INTERRUPT, QUEUE_INTERRUPT, type Transport } from "../../virtio/transport.ts";
import type { OpenFunction, PciFunction } from "../../pci/function.ts";
import { ByHand, findAll, qemuTest } from "./by_hand_test.ts";
import { BOARDS, findInputs } from "./interrupt_pins.ts";
import { openQemu } from "./mod.ts";

const RNG = ["-device", "virtio-rng-pci,disable-legacy=on,vectors=0"];
const RNG_ID = 0x1044;
const BALLOON_ID = 0x1045;

/** Turns the loop until `done`, two seconds at most. */
function turnUntil(loop: InterruptLoop, done: () => boolean): boolean {
  const end = performance.now() + 2000;
  while (!done()) {
    if (performance.now() > end) return false;
    loop.runOnce(10);
  }
  return true;
}

/** Does as the core does: counts interrupts, and which bits of the interrupt status came with them. */
class Watched {
  readonly causes: number[] = [];
  readonly fd: number;
  readonly #loop: InterruptLoop;

  constructor(loop: InterruptLoop, device: OpenFunction, transport: Transport) {
    this.#loop = loop;
    this.fd = device.intx!()!;
    assert(this.fd !== undefined, "there is no interrupt pin");
    loop.add(this.fd, () => {
      clear(this.fd);
      this.causes.push(transport.interruptStatus());
      device.unmaskIntx!();
    });
  }

  count(bit: number): number {
    return this.causes.filter((causes) => causes & bit).length;
  }

  [Symbol.dispose](): void {
    this.#loop.remove(this.fd);
  }
}

Deno.test("findInputs() follows the pins through bridges", () => {
  const tree = enumerate(fakeMachine([
    { device: 0 },
    { device: 3, behind: [{ device: 2, behind: [{ device: 7 }] }, { device: 5 }] },
    { device: 30 },
  ]));
  const [none, outer] = tree;
  const [inner, second] = outer!.behind!;
  const [deep] = inner!.behind!;
  const pins = [[outer, 1], [inner, 2], [second, 4], [deep, 3], [tree[2], 1]] as const;
  for (const [found, pin] of pins) found!.config.write8(0x3d, pin);
  const inputs = (board: "q35" | "pc") => {
    const found = findInputs(tree, BOARDS[board]);
    return [none, ...pins.map(([each]) => each)].map((each) => found.get(each!));
  };
  assertEquals(inputs("q35"), [
    undefined,
    20 + 3, // slot 3, INTA
    20 + (3 + 2 + 1) % 4, // device 2 with INTB behind slot 3
    20 + (3 + 5 + 3) % 4,
    20 + (3 + 2 + 7 + 2) % 4,
    20,
  ]);
  const line = (sum: number) => [10, 10, 11, 11][(sum - 1) % 4];
  assertEquals(inputs("pc").slice(1), [3, 6, 11, 14, 30].map(line));
});

for (
  const [place, machine, before, options] of [
    ...[1, 2, 3, 4, 0x18, 0x19, 0x1a, 0x1c, 0x1e].map((slot) =>
      [`q35 slot ${slot}`, "q35", [], `addr=${slot.toString(16)}`] as const
    ),
    ...[2, 3, 4, 5].map((slot) => [`pc slot ${slot}`, "pc", [], `addr=${slot}`] as const),
    ["q35 function 3", "q35", ["virtio-rng-pci,addr=8,multifunction=on"], "addr=8.3"],
    ["q35 behind a root port", "q35", ["pcie-root-port,id=r,chassis=1,addr=6"], "bus=r"],
    [
      "q35 behind two bridges",
      "q35",
      ["pcie-pci-bridge,id=outer,addr=5", "pci-bridge,id=inner,bus=outer,addr=2,chassis_nr=2"],
      "bus=inner,addr=3",
    ],
    ...[[5, 2], [6, 3]].map(([slot, device]) =>
      [
        `pc device ${device} behind an expander in slot ${slot}`,
        "pc",
        [`pxb,id=p,bus_nr=128,addr=${slot}`],
        `bus=p,addr=${device}`,
      ] as const
    ),
    ["pc behind a bridge", "pc", ["pci-bridge,id=b,chassis_nr=1,addr=6"], "bus=b,addr=9"],
  ] as const
) {
  qemuTest(`an interrupt pin is heard (${place})`, async () => {
    await using loop = new InterruptLoop();
    await using qemu = await openQemu({
      machine,
      arguments: [
        ...before.flatMap((each) => ["-device", each]),
        ...["-device", `virtio-rng-pci,disable-legacy=on,vectors=0,${options}`],
      ],
    }, loop);
    using rng = findAll(qemu, RNG_ID).at(-1)!.open();
    assertEquals(rng.vectors(2), []);
    const transport = modernTransport(rng);
    using watched = new Watched(loop, rng, transport);
    const hand = await new ByHand(rng, transport).start();
    for (let round = 1; round <= 3; round++) {
      hand.askRandom();
      assert(turnUntil(loop, () => watched.causes.length >= round), "no interrupt");
      hand.checkRandom();
      assertEquals(watched.causes.length, round);
    }
    assertEquals(watched.causes, [QUEUE_INTERRUPT, QUEUE_INTERRUPT, QUEUE_INTERRUPT]);
    await transport.reset();
  });
}

for (const [kind, mode] of [["modern", "disable-legacy=on"], ["legacy", "disable-modern=on"]]) {
  for (const machine of ["q35", "pc"] as const) {
    qemuTest(
      `a ${kind} balloon, which has no MSI-X, tells of both causes (${machine})`,
      async () => {
        await using loop = new InterruptLoop();
        await using qemu = await openQemu({
          machine,
          arguments: ["-device", `virtio-balloon-pci,disable-legacy=off,${mode}`],
        }, loop);
        using balloon = [...findAll(qemu, BALLOON_ID), ...findAll(qemu, 0x1002)][0]!.open();
        assertEquals(balloon.vectors(4), []);
        const transport = (kind === "modern" ? modernTransport : legacyTransport)(balloon);
        using watched = new Watched(loop, balloon, transport);
        const hand = await new ByHand(balloon, transport).start();
        const target = () => new DataView(transport.config([4, 4]).buffer).getUint32(0, true);
        assertEquals(target(), 0);
        for (let round = 1; round <= 3; round++) {
          // As much as it has, less `round` MiB: pages to give up.
          qemu.qmp.execute("balloon", { value: (256 - round) * 2 ** 20 });
          assert(turnUntil(loop, () => watched.count(CONFIG_INTERRUPT) >= round));
          assertEquals(target(), round * 256);
          // QEMU sets both bits for a changed configuration, so only what comes from now on counts.
          const before = watched.count(QUEUE_INTERRUPT);
          hand.ask(0, [{ data: new Uint8Array(4) }]); // gives up page 0, which is not used
          assert(turnUntil(loop, () => watched.count(QUEUE_INTERRUPT) > before));
          assert(hand.done(0));
        }
        await transport.reset();
      },
    );
  }
}

/** Two devices with one line: slots 2 and 6 of q35, or behind the same input of the PIIX. */
const SHARED = [
  ["-device", "virtio-rng-pci,disable-legacy=on,vectors=0,addr=2"],
  ["-device", "virtio-rng-pci,disable-legacy=on,vectors=0,addr=6"],
].flat();

async function two(devices: readonly PciFunction[]) {
  return await Promise.all(devices.map(async (found) => {
    const device = found.open();
    const transport = modernTransport(device);
    return { device, transport, hand: await new ByHand(device, transport).start() };
  }));
}

for (const machine of ["q35", "pc"] as const) {
  qemuTest(`two devices share a line, and neither loses an interrupt (${machine})`, async () => {
    await using loop = new InterruptLoop();
    await using qemu = await openQemu({ machine, arguments: SHARED }, loop);
    const [a, b] = await two(findAll(qemu, RNG_ID));
    using _a = a!.device;
    using _b = b!.device;
    using watchedA = new Watched(loop, a!.device, a!.transport);
    using watchedB = new Watched(loop, b!.device, b!.transport);
    for (let round = 1; round <= 50; round++) {
      // Both at once: the line goes up once and stays up until both have been heard.
      const order = round % 2 ? [a!, b!] : [b!, a!];
      for (const { hand } of order) hand.askRandom();
      assert(
        turnUntil(
          loop,
          () =>
            watchedA.count(QUEUE_INTERRUPT) >= round && watchedB.count(QUEUE_INTERRUPT) >= round,
        ),
        `${watchedA.causes} ${watchedB.causes}`,
      );
      for (const { hand } of order) hand.checkRandom();
    }
    assertEquals([watchedA, watchedB].map((each) => each.count(QUEUE_INTERRUPT)), [50, 50]);
    // Told of the other's interrupts at most once each.
    assert(watchedA.causes.length <= 100 && watchedB.causes.length <= 100);
  });
}

qemuTest(
  "a device is heard on a line that another one held up, even when that one goes",
  async () => {
    await using loop = new InterruptLoop();
    await using qemu = await openQemu({ arguments: SHARED }, loop);
    const [a, b] = await two(findAll(qemu, RNG_ID));
    using _b = b!.device;
    const fdA = a!.device.intx!()!;
    using watchedB = new Watched(loop, b!.device, b!.transport);
    a!.hand.askRandom();
    a!.hand.finish(0);
    assert(
      turnUntil(loop, () => watchedB.causes.length === 1),
      "b was not told that the line rose",
    );
    assertEquals(watchedB.causes, [0]);
    b!.hand.askRandom();
    b!.hand.checkRandom();
    loop.runOnce(20);
    assertEquals(watchedB.causes, [0], "the line is up, and has not risen");
    assert(clear(fdA), "a was told");
    assert(!clear(fdA), "and only once, since it was not unmasked");
    a!.device[Symbol.dispose]();
    assert(turnUntil(loop, () => watchedB.count(QUEUE_INTERRUPT) === 1));
  },
);

qemuTest("unmasking signals again as long as the pin is asserted", async () => {
  await using loop = new InterruptLoop();
  await using qemu = await openQemu({ arguments: RNG }, loop);
  using rng = findAll(qemu, RNG_ID)[0]!.open();
  const transport = modernTransport(rng);
  const fd = rng.intx!()!;
  assertEquals(rng.intx!(), fd);
  const hand = await new ByHand(rng, transport).start();
  assert(!clear(fd));
  hand.askRandom();
  hand.checkRandom();
  assert(turnUntil(loop, () => clear(fd)));
  for (let i = 0; i < 3; i++) {
    rng.unmaskIntx!();
    assert(clear(fd), "the device asserts it still");
  }
  assertEquals(transport.interruptStatus(), QUEUE_INTERRUPT);
  assertEquals(transport.interruptStatus(), 0);
  rng.unmaskIntx!();
  loop.runOnce(10);
  assert(!clear(fd));
});

qemuTest("only a function with a listener asserts its pin", async () => {
  await using loop = new InterruptLoop();
  await using qemu = await openQemu({ arguments: [...RNG, ...RNG] }, loop);
  const [first, second] = findAll(qemu, RNG_ID);
  using polled = first!.open();
  assert(polled.config.read16(COMMAND) & COMMAND_INTX_DISABLE);
  {
    using heard = second!.open();
    heard.intx!();
    assertEquals(heard.config.read16(COMMAND) & COMMAND_INTX_DISABLE, 0);
  }
  assert(second!.config.read16(COMMAND) & COMMAND_INTX_DISABLE);
});

qemuTest(
  "the interrupt pin takes the place of MSI-X, and there is none without a loop",
  async () => {
    await using loop = new InterruptLoop();
    const rng = ["-device", "virtio-rng-pci,disable-legacy=on"];
    {
      await using qemu = await openQemu({ arguments: rng }, loop);
      using device = findAll(qemu, RNG_ID)[0]!.open();
      assertEquals(device.vectors(2).length, 2);
      assert(device.intx!() !== undefined);
      assert(!isMsixEnabled(device.config));
    }
    await using qemu = await openQemu({ arguments: rng });
    using device = findAll(qemu, RNG_ID)[0]!.open();
    assertEquals(device.intx!(), undefined);
    device.unmaskIntx!();
  },
);

qemuTest("a QEMU that ends while the loop listens to pins does no harm", async () => {
  await using loop = new InterruptLoop();
  await using qemu = await openQemu({ arguments: RNG }, loop);
  const rng = findAll(qemu, RNG_ID)[0]!.open();
  rng.intx!();
  Deno.kill(qemu.pid, "SIGKILL");
  assert(turnUntil(loop, () => qemu.gone() !== undefined));
  for (let i = 0; i < 3; i++) loop.runOnce(5);
  assert(!loop.runOnce(0), "the dead socket is watched no more");
  rng[Symbol.dispose]();
});
