import { type PciNames, virtioTypeName } from "../machine/mod.ts";
import type { AnyDevice, Manifest, Node } from "../mod.ts";
import type { Snapshot } from "../watch/mod.ts";
import type { Context } from "./command.ts";
import { hex } from "./lspci.ts";
import type { Kernel } from "./system.ts";

/** Of all JSON that the program prints. Grows when a key changes its meaning or goes away. */
export const SCHEMA = 2;

/** A JSON document: `schema`, `command`, and what the command has to say. */
export function jsonText(command: string | null, body: object): string {
  return JSON.stringify({ schema: SCHEMA, command, ...body }, null, 2);
}

/** Prints a JSON document. */
export function printJson({ io }: Pick<Context, "io">, command: string, body: object): void {
  io.out(jsonText(command, body));
}

/** Prints a JSON document about one device: its machine and itself come first. */
export function printDeviceJson(
  context: Pick<Context, "io">,
  command: string,
  { kernel, device }: InUse,
  body: object,
): void {
  printJson(context, command, {
    machine: machineJson(kernel.machine),
    device: inUseJson(context, kernel, device),
    ...body,
  });
}

/** A machine, and a device of it that is at work. */
interface InUse {
  readonly kernel: Pick<Kernel, "machine" | "nodes">;
  readonly device: AtWork;
}

/** What is told of a device that is at work: nothing of it is known otherwise. */
type AtWork = Pick<AnyDevice, "address" | "isolation" | "restarts"> & {
  readonly pid?: number | undefined;
};

/** A device at work, for JSON. */
export function inUseJson(
  { io }: Pick<Context, "io">,
  { nodes }: Pick<Kernel, "nodes">,
  device: AtWork,
): object {
  const node = nodes.find((each) => each.function.address === device.address)!;
  return deviceJson(node, io.names(), device);
}

/** A machine, for JSON. */
export function machineJson({ kind, description }: Snapshot["machine"]): object {
  return { kind, description };
}

/**
 * A device, for JSON: the same keys in all documents. What is not there is null.
 *
 * @param work What is known of it at work, if it was put to work.
 */
export function deviceJson(
  node: Node,
  names: PciNames,
  work?: Omit<AtWork, "address">,
): object {
  const { identity, manifest } = node;
  const { vendor, device, virtio } = identity;
  const subclass = identity.class >> 8;
  return {
    address: node.function.address,
    vendor: hex(vendor, 4),
    device: hex(device, 4),
    subsystemVendor: hex(identity.subsystemVendor, 4),
    subsystem: hex(identity.subsystem, 4),
    class: hex(identity.class, 6),
    revision: hex(identity.revision, 2),
    names: {
      vendor: names.vendor(vendor) ?? null,
      device: names.device(vendor, device) ?? null,
      class: names.subclass(subclass) ?? names.baseClass(subclass >> 8) ?? null,
    },
    virtio: virtio
      ? { type: virtio.type, name: virtioTypeName(virtio.type), generation: virtio.generation }
      : null,
    kernelDriver: node.function.kernelDriver ?? null,
    iommuGroup: node.function.iommuGroup ?? null,
    numaNode: node.function.numaNode ?? null,
    unsafeDma: node.function.unsafeDma ?? null,
    noRoom: node.function.noRoom ?? null,
    refusal: node.function.refusal ?? null,
    driver: manifest ? driverJson(manifest) : null,
    isolation: work?.isolation ?? null,
    pid: work?.pid ?? null,
    restarts: work?.restarts ?? null,
  };
}

/** A driver, for JSON: the same keys in all documents. */
export function driverJson(manifest: Manifest): object {
  const { name, version, file } = manifest;
  return { name, class: manifest.class, version: version ?? null, file };
}

/** All that the manifest of a driver says, for JSON. */
export function manifestJson(manifest: Manifest): object {
  const { description, entry, match, limits, tunables } = manifest;
  return {
    ...driverJson(manifest),
    description: description ?? null,
    entry,
    match,
    limits,
    tunables,
  };
}
