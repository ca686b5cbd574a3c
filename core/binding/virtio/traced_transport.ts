// The registers of a VirtIO device, with each access told and explained.

import type { Manifest } from "../../plugin/manifest.ts";
import type { DeviceTrace } from "../../trace/trace.ts";
import { tracedRegisters } from "../../trace/traced_registers.ts";
import { registerMeanings } from "../../virtio/register_meaning.ts";
import type { SeeRegisters } from "../../virtio/transport.ts";

/** Makes what tells of each access to the registers of a device. */
export function seeRegisters(trace: DeviceTrace, { features, config }: Manifest): SeeRegisters {
  const nameOf = (bit: number) => features.find((rule) => rule.bit === bit)?.name;
  const meaningOf = registerMeanings(nameOf, config);
  return (structure, registers) =>
    tracedRegisters(registers, (access, offset, width, value) =>
      trace.tell({
        kind: "register",
        by: "core",
        access,
        window: structure,
        offset,
        width,
        value,
        ...meaningOf(structure, offset, { write: access === "write", value }),
      }));
}
