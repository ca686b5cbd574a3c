import { type PciNames, virtioTypeName } from "../machine/mod.ts";
import type { Machine, Manifest, Node } from "../mod.ts";
import type { Context } from "./command.ts";
import { hex } from "./lspci.ts";

/** Of all JSON that the program prints. Grows when a key changes its meaning or goes away. */
export const SCHEMA = 1;

/** A JSON document: `schema`, `command`, and what the command has to say. */
export function jsonText(command: string | null, body: object): string {
  return JSON.stringify({ schema: SCHEMA, command, ...body }, null, 2);
}

/** Prints a JSON document. */
export function printJson({ io }: Pick<Context, "io">, command: string, body: object): void {
  io.out(jsonText(command, body));
}

/** A machine, for JSON. */
export function machineJson({ kind, description }: Machine): object {
  return { kind, description };
}

/** A function, for JSON. What is not there is null, so that every key is always there. */
export function nodeJson(node: Node, names: PciNames): object {
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
    driver: manifest?.name ?? null,
  };
}

/** A driver, for JSON. */
export function manifestJson(manifest: Manifest): object {
  const { name, description, version, file, entry, match, limits, tunables } = manifest;
  return {
    name,
    class: manifest.class,
    description: description ?? null,
    version: version ?? null,
    file,
    entry,
    match,
    limits,
    tunables,
  };
}
