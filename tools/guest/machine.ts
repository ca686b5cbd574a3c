/** A device on a PCI Express port of its own, or on the root bus. */
export interface GuestDevice {
  /** What jobs call it. */
  readonly name: string;
  /** For QEMU's `-device`, without its place; empty for a port that is free. */
  readonly device: string;
  /** Arguments that come before it: what is behind the device. */
  readonly backend?: readonly string[];
  /** For QEMU's `-device`, too: what is on the device. */
  readonly child?: string;
}

/** A machine for a guest. */
export interface GuestMachine {
  /** Its name; jobs find it in the environment as `machine`. */
  readonly name: string;
  /** Whether there is an IOMMU between devices and memory. */
  readonly iommu: boolean;
  /** Behind a port each, so that each can be reset and unplugged, and has an IOMMU group of its own. */
  readonly ports: readonly GuestDevice[];
  /** On the root bus, as transitional devices are. */
  readonly integrated: readonly GuestDevice[];
  /** Disks that are empty at each boot, to be used as `drive=`. */
  readonly disks: readonly string[];
}

/** How large each disk is. */
export const DISK_BYTES = 16 * 2 ** 20;

/** Slots of the root bus where ports and integrated devices begin. */
const PORTS = 0x01, INTEGRATED = 0x18;

/** QEMU's arguments for the devices. */
export function deviceArguments({ ports, integrated }: GuestMachine): string[] {
  const at = ({ device, backend = [], child }: GuestDevice, bus: string) => [
    ...backend,
    ...(device === "" ? [] : ["-device", `${device},bus=${bus}`]),
    ...(child === undefined ? [] : ["-device", child]),
  ];
  return [
    ...ports.flatMap((each, i) => [
      ...["-device", `pcie-root-port,id=port${i},chassis=${i},slot=${i},addr=${hex(PORTS + i)}`],
      ...at(each, `port${i}`),
    ]),
    ...integrated.flatMap((each, i) => at(each, `pcie.0,addr=${hex(INTEGRATED + i)}`)),
  ];
}

/** The address of a device: firmware numbers the buses behind ports in their order. */
export function addressOf({ ports, integrated }: GuestMachine, name: string): string {
  const port = ports.findIndex((each) => each.name === name);
  if (port >= 0) return `0000:${hex(port + 1)}:00.0`;
  const slot = integrated.findIndex((each) => each.name === name);
  if (slot >= 0) return `0000:00:${hex(INTEGRATED + slot)}.0`;
  throw new Error(`Cannot find a device called ${name}`);
}

function hex(number: number): string {
  return number.toString(16).padStart(2, "0");
}
