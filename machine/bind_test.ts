import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { libc } from "../core/linux/libc.ts";
import { Refusal } from "../core/platform/refusal.ts";
import { type BindRequest, rebind } from "./bind.ts";
import {
  type FakeFunction,
  type FakeMachine,
  fakeMachine,
  link,
  mounts,
  put,
} from "../core/platform/vfio/fake_test.ts";

libc(); // Open before the tests: it stays open, which would count as a leak of the first one.

const A = "0000:00:02.0", B = "0000:00:03.0", PORT = "0000:00:01.0";

const DRIVERS = { drivers: ["vfio-pci", "uio_pci_generic", "virtio-pci"] };

/** What the kernel does when its attributes are written: its own driver for everything is virtio-pci. */
class FakeKernel {
  readonly log: string[] = [];
  readonly #machine: FakeMachine;
  readonly #broken: readonly string[];

  /** @param broken Pairs of driver and address that do not get along. */
  constructor(machine: FakeMachine, ...broken: readonly string[]) {
    this.#machine = machine;
    this.#broken = broken;
  }

  #folder(address: string): string {
    return `${this.#machine.sysfs}/bus/pci/devices/${address}`;
  }

  readonly write = (path: string, text: string): void => {
    const short = path.slice(`${this.#machine.sysfs}/bus/pci/`.length);
    this.log.push(`${text.trim()} > ${short}`);
    const [kind, name, ...rest] = short.split("/");
    if (rest.join("/") === "driver_override") return Deno.writeTextFileSync(path, text);
    if (rest.join("/") === "driver/unbind") return Deno.removeSync(`${this.#folder(text)}/driver`);
    if (kind === "drivers_probe") {
      const override = Deno.readTextFileSync(`${this.#folder(text)}/driver_override`).trim();
      return this.#bind(text, override || "virtio-pci");
    }
    if (kind === "drivers" && rest[0] === "bind") return this.#bind(text, name!);
    throw new Error(`The kernel has no attribute ${short}`);
  };

  #bind(address: string, driver: string): void {
    if (this.#broken.includes(`${driver} ${address}`)) return;
    Deno.symlinkSync(`../../../bus/pci/drivers/${driver}`, `${this.#folder(address)}/driver`);
  }

  driver(address: string): string | undefined {
    try {
      return Deno.readLinkSync(`${this.#folder(address)}/driver`).split("/").at(-1)!;
    } catch {
      return undefined;
    }
  }
}

const disk = (group?: number, driver: string | undefined = "virtio-pci"): FakeFunction => ({
  ...(driver ? { driver } : {}),
  ...(group === undefined ? {} : { group }),
  files: { driver_override: "(null)\n", class: "0x010000\n" },
});

const request = (rest: Partial<BindRequest> = {}): BindRequest => ({
  addresses: [A],
  driver: "vfio-pci",
  force: [],
  dryRun: false,
  ...rest,
});

Deno.test("rebind hands a function to VFIO and back, and tells before and after", async () => {
  await using machine = await fakeMachine({ [A]: disk(4) }, DRIVERS);
  const kernel = new FakeKernel(machine);
  assertEquals(rebind(request(), mounts(machine), kernel.write), [
    { address: A, before: "virtio-pci", after: "vfio-pci", iommuGroup: 4 },
  ]);
  assertEquals(kernel.log, [
    `vfio-pci > devices/${A}/driver_override`,
    `${A} > devices/${A}/driver/unbind`,
    `${A} > drivers_probe`,
  ]);
  // Once more changes nothing.
  assertEquals(rebind(request(), mounts(machine), kernel.write)[0]!.before, "vfio-pci");
  assertEquals(kernel.log.length, 3);
  assertEquals(rebind(request({ driver: undefined }), mounts(machine), kernel.write), [
    { address: A, before: "vfio-pci", after: "virtio-pci", iommuGroup: 4 },
  ]);
  assertEquals(kernel.driver(A), "virtio-pci");
});

Deno.test("rebind undoes everything if a driver does not take one of the functions", async () => {
  await using machine = await fakeMachine({ [A]: disk(4), [B]: disk(5) }, DRIVERS);
  const kernel = new FakeKernel(machine, `vfio-pci ${B}`);
  const error = assertThrows(
    () => rebind(request({ addresses: [A, B] }), mounts(machine), kernel.write),
    Error,
    `Cannot bind ${B} to vfio-pci: it has no driver afterwards`,
  );
  assertStringIncludes(error.message, "everything is as it was before");
  assertEquals([kernel.driver(A), kernel.driver(B)], ["virtio-pci", "virtio-pci"]);
  const override = await Deno.readTextFile(
    `${machine.sysfs}/bus/pci/devices/${A}/driver_override`,
  );
  assertEquals(override.trim(), "");
});

Deno.test("rebind leaves a function without a driver as it was, if it cannot have the one wanted", async () => {
  await using machine = await fakeMachine({ [A]: disk(4, "") }, DRIVERS);
  const kernel = new FakeKernel(machine, `vfio-pci ${A}`);
  assertThrows(() => rebind(request(), mounts(machine), kernel.write), Error, "as it was before");
  assertEquals(kernel.driver(A), undefined);
});

Deno.test("rebind says so if what it did cannot be undone", async () => {
  await using machine = await fakeMachine({ [A]: disk(4) }, DRIVERS);
  const kernel = new FakeKernel(machine, `vfio-pci ${A}`);
  const write = (path: string, text: string) => {
    if (path.endsWith("/bind")) throw new Error("no way back");
    kernel.write(path, text);
  };
  assertThrows(
    () => rebind(request(), mounts(machine), write),
    Error,
    "could not be undone: no way back",
  );
});

Deno.test("rebind with dryRun writes nothing, and checks everything", async () => {
  await using machine = await fakeMachine({ [A]: disk(4), [B]: disk(4) }, DRIVERS);
  const write = () => {
    throw new Error("it was written");
  };
  const addresses = [A, B];
  assertEquals(
    rebind(request({ addresses, dryRun: true }), mounts(machine), write).map(({ after }) => after),
    ["vfio-pci", "vfio-pci"],
  );
  assertThrows(() => rebind(request({ dryRun: true }), mounts(machine), write), Refusal);
});

Deno.test("rebind hands an IOMMU group over as a whole, without its bridges", async () => {
  const port: FakeFunction = {
    driver: "pcieport",
    group: 4,
    files: { class: "0x060400\n", driver_override: "(null)\n" },
  };
  await using machine = await fakeMachine({ [PORT]: port, [A]: disk(4), [B]: disk(4) }, DRIVERS);
  const kernel = new FakeKernel(machine);
  const error = assertThrows(() => rebind(request(), mounts(machine), kernel.write), Refusal);
  assertStringIncludes(error.message, `IOMMU group 4 has ${B}, too`);
  assertStringIncludes(error.message, `bind ${A} ${B}`);
  assertEquals(kernel.log, []);
  rebind(request({ addresses: [A, B] }), mounts(machine), kernel.write);
  assertEquals([kernel.driver(PORT), kernel.driver(A), kernel.driver(B)], [
    "pcieport",
    "vfio-pci",
    "vfio-pci",
  ]);
});

Deno.test("rebind refuses what cannot be, before the first step, and says what to do", async (t) => {
  await using machine = await fakeMachine({ [A]: disk(), [B]: disk(5, "") }, {
    drivers: ["virtio-pci", "vfio-pci"],
  });
  for (
    const [what, part, message] of [
      ["a function that is not there", { addresses: ["0000:09:00.0"] }, "Cannot bind 0000:09:00.0"],
      [
        "unbinding one that is not there",
        { driver: undefined, addresses: [A, "0000:09:00.0"] },
        "Cannot unbind 0000:09:00.0: this machine has no such function",
      ],
      ["VFIO without an IOMMU", {}, "it has no IOMMU"],
      ["a driver that is not loaded", { driver: "uio_pci_generic" }, "modprobe uio_pci_generic"],
      ["unbinding what is the kernel's", { driver: undefined }, "but to virtio-pci"],
      ["unbinding what no driver has", { driver: undefined, addresses: [B] }, "but to no driver"],
    ] as const
  ) {
    await t.step(what, () => {
      const kernel = new FakeKernel(machine);
      assertThrows(
        () => rebind(request(part), mounts(machine), kernel.write),
        Error,
        message,
      );
      assertEquals(kernel.log, []);
    });
  }
});

/** What a function is in use for, and the files that say so. */
const USES: readonly (readonly [string, (machine: FakeMachine) => Promise<void>])[] = [
  ["its disk vda is mounted on /mnt", async ({ sysfs, root }) => {
    await link(sysfs, A, "block", "vda", "virtio1/block/vda", { dev: "254:0\n" });
    await put(`${root}/proc/self/mountinfo`, "22 1 254:0 / /mnt rw - ext4 /dev/vda rw\n");
  }],
  ["its disk vda1 is mounted on /mnt", async ({ sysfs, root }) => {
    await link(sysfs, A, "block", "vda1", "virtio1/block/vda/vda1", { dev: "254:1\n" });
    // A file system that gives itself a number, and has optional fields.
    await put(
      `${root}/proc/self/mountinfo`,
      "22 1 0:33 / /mnt rw shared:1 - btrfs /dev/vda1 rw\n",
    );
  }],
  ["its disk vda is swap space", async ({ sysfs, root }) => {
    await link(sysfs, A, "block", "vda", "virtio1/block/vda", { dev: "254:0\n" });
    await put(
      `${root}/proc/swaps`,
      "Filename Type Size Used Priority\n/dev/vda partition 9 0 -2\n",
    );
  }],
  ["its disk vda is part of dm-0", async ({ sysfs }) => {
    await link(sysfs, A, "block", "vda", "virtio1/block/vda", {
      dev: "254:0\n",
      "holders/dm-0/dev": "",
    });
  }],
  ["its network interface eth0 carries the default route", async ({ sysfs, root }) => {
    await link(sysfs, A, "net", "eth0", "virtio1/net/eth0", { flags: "0x1003\n" });
    await put(
      `${root}/proc/net/route`,
      "Iface\tDestination\tGateway\neth0\t00000000\t0202000A\t0003\n",
    );
  }],
  ["its network interface eth0 is up", async ({ sysfs }) => {
    await link(sysfs, A, "net", "eth0", "virtio1/net/eth0", { flags: "0x1003\n" });
  }],
  ["hvc0 is a console", async ({ sysfs }) => {
    await link(sysfs, A, "virtio-ports", "vport1p0", "virtio1/virtio-ports/vport1p0", {});
    await put(`${sysfs}/class/tty/console/active`, "tty0 hvc0\n");
  }],
  ["ttyS4 is a console", async ({ sysfs }) => {
    await link(sysfs, A, "tty", "ttyS4", "tty/ttyS4", {});
    await put(`${sysfs}/class/tty/console/active`, "ttyS4\n");
  }],
  ["it is the screen of the console", async ({ sysfs }) => {
    await put(`${sysfs}/bus/pci/devices/${A}/boot_vga`, "1\n");
  }],
];

Deno.test("rebind takes nothing that the machine uses, unless it is forced by name", async (t) => {
  for (const [use, arrange] of USES) {
    await t.step(use, async () => {
      await using machine = await fakeMachine({ [A]: disk(4) }, DRIVERS);
      await arrange(machine);
      const kernel = new FakeKernel(machine);
      for (const force of [[], [B]]) {
        const error = assertThrows(
          () => rebind(request({ force }), mounts(machine), kernel.write),
          Refusal,
          use,
        );
        assertStringIncludes(error.message, `--force ${A}`);
      }
      assertEquals(kernel.log, []);
      rebind(request({ force: [A] }), mounts(machine), kernel.write);
      assertEquals(kernel.driver(A), "vfio-pci");
    });
  }
});

Deno.test("rebind does not care for what other devices are used for", async () => {
  await using machine = await fakeMachine({ [A]: disk(4), [B]: disk(5) }, DRIVERS);
  await USES[0]![1](machine);
  await put(`${machine.sysfs}/class/tty/console/active`, "tty0 hvc0\n");
  const kernel = new FakeKernel(machine);
  rebind(request({ addresses: [B] }), mounts(machine), kernel.write);
  assertEquals(kernel.driver(B), "vfio-pci");
});
