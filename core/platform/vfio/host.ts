import type { PciFunction, Platform } from "../platform.ts";
import { listSysfs, type SysfsFunction } from "./sysfs.ts";

/**
 * The machine that this program runs on. It only looks: nothing is opened, bound or written.
 *
 * @param sysfs Where sysfs is mounted.
 */
export function openHost(sysfs = "/sys"): Platform {
  const found = listSysfs(sysfs);
  const functions = (found ?? []).map(hostFunction);
  return {
    kind: "host",
    description: found
      ? `this machine, ${functions.length} PCI functions`
      : `this machine, without PCI: there is no ${sysfs}/bus/pci/devices`,
    functions,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function hostFunction(found: SysfsFunction): PciFunction {
  const refusal = refuse(found.kernelDriver);
  return {
    ...found,
    refusal,
    open() {
      throw new Error(`Cannot take ${found.address}: ${refusal}`);
    },
  };
}

/** Why a function is not handed out. */
function refuse(kernelDriver: string | undefined): string {
  return kernelDriver === undefined || kernelDriver === "vfio-pci"
    ? "taking devices through VFIO is not built yet"
    : `the kernel driver ${kernelDriver} drives it; this program never takes a device away from it`;
}
