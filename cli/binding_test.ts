import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Binding, BindRequest } from "../machine/mod.ts";
import { Refusal } from "../core/platform/refusal.ts";
import { SCHEMA } from "./json.ts";
import { runFake } from "./fake_test.ts";

const moved = (after: string) => ({ addresses }: BindRequest): Binding[] =>
  addresses.map((address) => ({ address, before: "virtio-pci", after, iommuGroup: 7 }));

function requests(calls: readonly string[]): unknown[] {
  return calls.filter((call) => call.startsWith("rebind "))
    .map((call) => JSON.parse(call.slice("rebind ".length)));
}

Deno.test("bind hands whole addresses to VFIO, each once, and prints the way back", async () => {
  const rebind = moved("vfio-pci");
  const { exit, out, err, calls } = await runFake("bind 00:02.0 0000:00:02.0 0:3.0", { rebind });
  assertEquals(exit, 0);
  assertEquals(requests(calls), [{
    addresses: ["0000:00:02.0", "0000:00:03.0"],
    driver: "vfio-pci",
    force: [],
    dryRun: false,
  }]);
  assertStringIncludes(out, "0000:00:02.0: virtio-pci -> vfio-pci\n");
  assertStringIncludes(err, "To undo: unbind 0000:00:02.0 0000:00:03.0");
  assertStringIncludes(err, "chown <user> /dev/vfio/7");
});

Deno.test("bind passes its options on, and says what is unsafe", async () => {
  const line = "bind 00:02.0 --driver uio_pci_generic --force 0:2.0,0:3.0";
  const { err, calls } = await runFake(line, { rebind: moved("uio_pci_generic") });
  assertEquals(requests(calls), [{
    addresses: ["0000:00:02.0"],
    driver: "uio_pci_generic",
    force: ["0000:00:02.0", "0000:00:03.0"],
    dryRun: false,
  }]);
  assertStringIncludes(err, "--unsafe-dma is needed");
});

Deno.test("bind --dry-run says that nothing was done", async () => {
  const { out, err } = await runFake("bind 00:02.0 --dry-run", { rebind: moved("vfio-pci") });
  assertEquals(out, "0000:00:02.0: virtio-pci -> vfio-pci (not done)");
  assertEquals(err, "");
});

Deno.test("bind --json has stable keys", async () => {
  const { out } = await runFake("bind 00:02.0 --json", { rebind: moved("vfio-pci") });
  assertEquals(JSON.parse(out), {
    schema: SCHEMA,
    command: "bind",
    dryRun: false,
    devices: [{
      address: "0000:00:02.0",
      before: "virtio-pci",
      after: "vfio-pci",
      iommuGroup: 7,
    }],
  });
});

Deno.test("unbind lets the kernel choose, and prints the way back", async () => {
  const rebind = ({ addresses }: BindRequest): Binding[] =>
    addresses.map((address) => ({
      address,
      before: "vfio-pci",
      after: undefined,
      iommuGroup: undefined,
    }));
  const { exit, out, err, calls } = await runFake("unbind 00:02.0", { rebind });
  assertEquals([exit, out], [0, "0000:00:02.0: vfio-pci -> no driver"]);
  assertEquals("driver" in (requests(calls)[0] as object), false);
  assertEquals(err, "To undo: bind 0000:00:02.0 --driver vfio-pci");
});

for (
  const [line, exit, message] of [
    ["bind", 2, "bind with 0 arguments"],
    ["bind card", 2, "PCI address"],
    ["bind 00:02.0 --driver vfio-pc", 2, 'Did you mean "vfio-pci"?'],
    ["bind 00:02.0 --force card", 2, "PCI address"],
    ["unbind 00:02.0 --driver vfio-pci", 2, "it is for the command bind"],
    ["ls --dry-run", 2, "it is for the commands bind, unbind"],
  ] as const
) {
  Deno.test(`${line}: exit ${exit}`, async () => {
    const ran = await runFake(line);
    assertEquals(ran.exit, exit);
    assertStringIncludes(ran.err, message);
    assertEquals(requests(ran.calls), []);
  });
}

Deno.test("bind of a device in use: exit 4", async () => {
  const rebind = () => {
    throw new Refusal("Cannot take it: its disk is mounted on /");
  };
  const { exit, err } = await runFake("bind 00:02.0", { rebind });
  assertEquals([exit, err], [4, "error: Cannot take it: its disk is mounted on /"]);
});

Deno.test("doctor's lines go on below themselves where a terminal has fewer columns #cli:width", async () => {
  const missing = {
    name: "IOMMU",
    state: "missing",
    found: "none",
    fix: "turn it on, in the firmware",
  } as const;
  const { out } = await runFake("doctor", { diagnoses: [missing], columns: 30 });
  assertStringIncludes(
    out,
    "missing  IOMMU: none\n         fix: turn it on, in\n           the firmware",
  );
});

Deno.test("doctor prints each finding with its fix, and fails only for what is missing", async () => {
  const optional = {
    name: "QEMU",
    state: "optional",
    found: "none",
    fix: "install qemu-system-x86",
  } as const;
  const missing = { name: "IOMMU", state: "missing", found: "none", fix: "turn it on" } as const;
  const well = await runFake("doctor", { diagnoses: [optional] });
  assertEquals(well.exit, 0);
  assertStringIncludes(
    well.out,
    "ok       Deno: 2.9.6\noptional QEMU: none\n         fix: install",
  );
  const ill = await runFake("doctor --json", { diagnoses: [missing], denoVersion: "2.8.3" });
  assertEquals(ill.exit, 1);
  assertEquals(JSON.parse(ill.out), {
    schema: SCHEMA,
    command: "doctor",
    well: false,
    checks: [
      { name: "Deno", state: "missing", found: "2.8.3", fix: "deno upgrade 2.9.6" },
      missing,
    ],
  });
});
