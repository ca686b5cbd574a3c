import type { Registers } from "../pci/registers.ts";
import { DeviceFault } from "../pci/device_fault.ts";
import { RESET_DEADLINE, type Transport } from "./transport.ts";
import { until } from "./until.ts";

/** The device status field (virtio 1.4, 2.1), a byte of registers that every transport has somewhere. */
export function statusField(
  registers: Registers,
  offset: number,
): Pick<Transport, "status" | "addStatus" | "reset"> {
  function status(): number {
    const now = registers.read8(offset);
    if (now === 0xff) {
      throw new DeviceFault("D-21", "The device status reads as all ones: the device is gone");
    }
    return now;
  }
  return {
    status,
    addStatus: (bits) => registers.write8(offset, status() | bits),
    async reset(deadline = RESET_DEADLINE) {
      registers.write8(offset, 0);
      await until(
        () => status() === 0,
        deadline,
        () =>
          new DeviceFault(
            "D-24",
            `The device did not finish its reset within ${deadline} ms: its status is ` +
              `${status()} (virtio 1.4, 2.4.2)`,
          ),
      );
    },
  };
}
