/**
 * PCI devices that are no VirtIO devices, brought by a third party: class, driver, model and all, in a folder outside.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { EntropyModel } from "@virtio/random/model";
import type { DeviceClass } from "../core/class/mod.ts";
import { loadPlugin } from "../core/kernel/load_plugin.ts";
import type { DefinedPciPlugin } from "../core/plugin/mod.ts";
import type { FunctionModel } from "../simulation/mod.ts";
import { openKernel } from "../mod.ts";
import "./support/libc.ts";
import { pattern, qemuProgram, qemuTest } from "./support/machine.ts";
import { soon } from "./support/leaks.ts";
import { qmpOf } from "./support/qemu.ts";
import { copied, type Copy } from "./support/third_party.ts";

/** What the edu's class gives an application; imported from where it was copied to, so its types are told here. */
interface Edu {
  factorial(n: number): Promise<number>;
  store(bytes: Uint8Array): Promise<void>;
  load(length: number): Promise<Uint8Array<ArrayBuffer>>;
}

type EduClass = { readonly edu: DeviceClass<Edu> };
type EduModel = { readonly EduModel: new () => FunctionModel };
type Plugin = { readonly default: DefinedPciPlugin };

type Machine = "simulated" | "qemu";
const MACHINES: readonly Machine[] = ["simulated", "qemu"];

/** Declares a test on a machine. */
function test(machine: Machine, name: string, run: () => Promise<void>): void {
  if (machine === "qemu") qemuTest(name, run);
  else Deno.test(name, run);
}

interface Options {
  /** Whether its driver runs inline. */
  readonly inline?: boolean;
  readonly interrupts?: "msix" | "intx" | "polling";
  /** What is other than in an edu, simulated and for QEMU. */
  readonly parts?: Partial<FunctionModel>;
  readonly device?: string;
}

/** A kernel with an edu, for the driver and class in a folder, and with an entropy source. */
async function withEdu(
  folder: Copy,
  machine: Machine,
  { inline = false, interrupts = "msix", parts = {}, device = "edu" }: Options = {},
) {
  const { edu } = await folder.load<EduClass>("class.ts");
  const { EduModel } = await folder.load<EduModel>("model.ts");
  const source = loadPlugin(folder.folder);
  const { default: plugin } = await folder.load<Plugin>("mod.ts");
  return openKernel({
    machine,
    ...machine === "simulated"
      ? { devices: [new EntropyModel(), Object.assign(new EduModel(), parts)] }
      : {
        qemu: {
          program: qemuProgram(),
          arguments: ["-device", "virtio-rng-pci", "-device", device],
        },
      },
    interrupts,
    classes: { edu },
    drivers: [inline ? { ...source, plugin } : source],
    isolation: inline ? "inline" : "process",
  });
}

const KINDS = { msix: "msi", intx: "intx", polling: "polling" } as const;

for (const machine of MACHINES) {
  for (const inline of [true, false]) {
    for (const interrupts of ["msix", "intx", "polling"] as const) {
      const how = `${machine}, ${inline ? "inline" : "process"}, ${KINDS[interrupts]}`;
      test(machine, `edu computes and copies (${how}) #core:pci_device #core:msi`, async () => {
        using folder = copied("edu");
        await using kernel = await withEdu(folder, machine, { inline, interrupts });
        const device = await kernel.attachFirst("edu");
        const { client } = device;
        assertEquals(await client.factorial(10), 3628800);
        assertEquals(
          await Promise.all([1, 2, 3, 4, 5, 6].map((n) => client.factorial(n))),
          [1, 2, 6, 24, 120, 720],
        );
        const bytes = pattern(2048, 3);
        await client.store(bytes);
        assertEquals(await client.load(2048), bytes);
        const { class: name, transport, status, interrupts: kind } = await device.describe();
        assertEquals([name, transport, status], ["edu", "pci", ["memory", "bus master"]]);
        assertEquals(kind, KINDS[interrupts]);
      });
    }
  }

  test(
    machine,
    `edu's driver is killed under load and comes back (${machine}) #core:pci_device`,
    async () => {
      using folder = copied("edu");
      await using kernel = await withEdu(folder, machine);
      const device = await kernel.attachFirst("edu");
      const bytes = pattern(1024, 5);
      await device.client.store(bytes);
      for (let kill = 0; kill < 3; kill++) {
        const before = device.pid!;
        const all = Promise.all([
          ...[3, 4, 5, 6].map((n) => device.client.factorial(n)),
          device.client.load(1024),
        ]);
        Deno.kill(before, "SIGKILL");
        assertEquals(await all, [6, 24, 120, 720, bytes]);
        assert(await soon(() => device.pid !== before), "no new process came");
      }
      // The device kept what it had: nothing has reset it.
      assertEquals(await device.client.load(1024), bytes);
    },
  );

  test(
    machine,
    `a driver that accesses registers outside of its windows fails, and others go on (${machine}) #core:register_windows`,
    async () => {
      using folder = copied("edu");
      folder.change("mod.ts", (text) => text.replace("read32(Register.identity)", "read32(4096)"));
      await using kernel = await withEdu(folder, machine);
      const source = await kernel.attachFirst("entropy");
      await assertRejects(() => kernel.attachFirst("edu"), Error, "Cannot access 4 bytes at 4096");
      assertEquals(kernel.devices.length, 1);
      assertEquals((await source.client.read(64)).length, 64);
    },
  );
}

/** Windows of registers that no driver may have: what is said, and of which device. */
const WRONG: readonly (readonly [
  window: { readonly bar: number; readonly offset?: number; readonly bytes: number },
  says: string,
  parts?: Partial<FunctionModel>,
  qemu?: readonly [device: string, match: { readonly vendor: string; readonly device: string }],
])[] = [
  [{ bar: 3, bytes: 4096 }, "the device has no BAR 3"],
  [{ bar: 0, offset: 0xff000, bytes: 8192 }, "they end at byte 1052672, and BAR 0 has 1048576"],
  [
    { bar: 0, bytes: 0x2004 },
    "they share a page with the device's interrupt table",
    { msix: { vectors: 4, bar: 0, offset: 0x2000 } },
    ["nvme,serial=1", { vendor: "1b36", device: "0010" }],
  ],
  [
    { bar: 0, bytes: 8 },
    "BAR 0 has I/O ports, and only memory is granted",
    { bars: { 0: { bytes: 32, kind: "ports" } } },
    ["pci-serial", { vendor: "1b36", device: "0002" }],
  ],
];

for (const [control, says, parts = {}, [device, match] = ["edu"]] of WRONG) {
  for (const machine of MACHINES) {
    test(machine, `a window is refused: ${says} (${machine}) #core:register_windows`, async () => {
      using folder = copied("edu");
      folder.change("plugin.json", (text) => {
        const manifest = { ...JSON.parse(text), registers: { control } };
        if (match && machine === "qemu") manifest.match = [match];
        return JSON.stringify(manifest);
      });
      await using kernel = await withEdu(folder, machine, { parts, device });
      await assertRejects(
        () => kernel.attachFirst("edu"),
        Error,
        `Cannot grant the registers control of the driver's plugin.json: ${says}`,
      );
      assertEquals(kernel.devices, []);
    });
  }
}

for (const machine of MACHINES) {
  test(
    machine,
    `memory is where the device's addresses lead, or there is none (${machine}) #core:address_bits`,
    async () => {
      using folder = copied("edu");
      folder.change(
        "plugin.json",
        (text) => text.replace('"addressBits": 28', '"addressBits": 20'),
      );
      await using kernel = await withEdu(folder, machine);
      await assertRejects(
        () => kernel.attachFirst("edu"),
        Error,
        "its device has addresses of 20 bits",
      );
      assertEquals(kernel.devices, []);
    },
  );
}

Deno.test("a driver that forgets how short its device's addresses are is found out #core:address_bits", async () => {
  using folder = copied("edu");
  folder.change("plugin.json", (text) => text.replace('"addressBits": 28,', ""));
  const { error } = console;
  const said: string[] = [];
  console.error = (line: string) => void said.push(line);
  try {
    await using kernel = await withEdu(folder, "simulated");
    const device = await kernel.attachFirst("edu");
    await assertRejects(() => device.client.store(pattern(64, 1)), Error, "Cannot store");
    assertMatch(said[0]!, /The device cannot reach 64 bytes at address 0xf/);
  } finally {
    console.error = error;
  }
});

/** A driver that has its device read 128 MiB behind where the client's bytes are. */
function astray(text: string): string {
  return text.replace("BUFFER.address : memory)", "BUFFER.address : memory + 2 ** 27)");
}

Deno.test("a simulated device that is told to reach outside of its driver's arena reports it, and others go on #core:stray_dma", async () => {
  using folder = copied("edu");
  folder.change("mod.ts", astray);
  const said: string[] = [];
  const { error } = console;
  console.error = (...words: unknown[]) => void said.push(words.join(" "));
  try {
    await using kernel = await withEdu(folder, "simulated");
    const source = await kernel.attachFirst("entropy");
    const device = await kernel.attachFirst("edu");
    assertEquals(await device.client.factorial(4), 24);
    await assertRejects(() => device.client.store(pattern(64, 1)), Error, "Cannot store");
    assertEquals(await device.gone, "The bus reports an error of the device [D-74]");
    assert(
      said.every((line) => /^0000:00:02\.0: The device cannot reach 64 bytes/.test(line)),
      said[0],
    );
    assert(said.length > 0);
    assertEquals((await source.client.read(64)).length, 64);
  } finally {
    console.error = error;
  }
});

qemuTest(
  "a device that is told to reach outside of its driver's arena reaches QEMU's memory, and others go on #core:stray_dma",
  async () => {
    using folder = copied("edu");
    folder.change("mod.ts", astray);
    await using kernel = await withEdu(folder, "qemu");
    const source = await kernel.attachFirst("entropy");
    const device = await kernel.attachFirst("edu");
    await device.client.store(pattern(64, 1));
    // It found the zeroes of memory that nothing uses.
    assertEquals(await device.client.load(64), new Uint8Array(64));
    assertEquals(await device.client.factorial(4), 24);
    assertEquals((await source.client.read(64)).length, 64);
  },
);

for (const inline of [true, false]) {
  Deno.test(`a device that answers all ones ends with a sentence (${inline ? "inline" : "process"}) #core:all_ones`, async () => {
    using folder = copied("edu");
    let gone = false;
    await using kernel = await withEdu(folder, "simulated", {
      inline,
      parts: { gone: () => gone },
    });
    const source = await kernel.attachFirst("entropy");
    const device = await kernel.attachFirst("edu");
    assertEquals(await device.client.factorial(4), 24);
    gone = true;
    await assertRejects(() => device.client.factorial(5), Error, "Cannot compute");
    const reason = await device.gone;
    assert(/The device answers all ones: it is gone/.test(reason ?? ""), reason);
    assertEquals(kernel.devices.length, 1);
    assertEquals((await source.client.read(64)).length, 64);
  });
}

interface Panic {
  events(): Promise<readonly string[]>;
  tell(event: "panicked" | "crashLoaded"): Promise<void>;
}

interface PanicModel extends FunctionModel {
  readonly told: readonly number[];
}

for (const machine of MACHINES) {
  for (const inline of [true, false]) {
    const how = `${machine}, ${inline ? "inline" : "process"}`;
    test(machine, `pvpanic tells of events (${how}) #core:pci_device`, async () => {
      using folder = copied("pvpanic");
      const { panic } = await folder.load<{ panic: DeviceClass<Panic> }>("class.ts");
      const { PanicModel } = await folder.load<{ PanicModel: new () => PanicModel }>("model.ts");
      const { default: plugin } = await folder.load<Plugin>("mod.ts");
      const model = new PanicModel();
      await using kernel = await openKernel({
        machine,
        ...machine === "simulated" ? { devices: [model] } : {
          qemu: {
            program: qemuProgram(),
            // It is told of the panic, and goes on.
            arguments: ["-device", "pvpanic-pci", "-action", "panic=none"],
          },
        },
        classes: { panic },
        drivers: [{ ...loadPlugin(folder.folder), ...inline ? { plugin } : {} }],
        isolation: inline ? "inline" : "process",
      });
      const { client } = await kernel.attachFirst("panic");
      assertEquals((await client.events()).slice(0, 2), ["panicked", "crashLoaded"]);
      await client.tell("crashLoaded");
      await client.tell("panicked");
      if (machine === "simulated") return assertEquals(model.told, [2, 1]);
      for (const event of ["GUEST_CRASHLOADED", "GUEST_PANICKED"]) {
        assert(qmpOf(kernel).event(event, 5000), `QEMU has not heard of ${event}`);
      }
    });
  }
}

Deno.test("an event that pvpanic does not know is one error", async () => {
  using folder = copied("pvpanic");
  const { panic } = await folder.load<{ panic: DeviceClass<Panic> }>("class.ts");
  const { PanicModel } = await folder.load<{ PanicModel: new (known: number) => PanicModel }>(
    "model.ts",
  );
  const model = new PanicModel(1);
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [model],
    classes: { panic },
    plugins: [folder.folder],
  });
  const { client } = await kernel.attachFirst("panic");
  assertEquals(await client.events(), ["panicked"]);
  await assertRejects(
    () => client.tell("crashLoaded"),
    Error,
    "Cannot tell of the event crashLoaded",
  );
  await client.tell("panicked");
  assertEquals(model.told, [1]);
});
