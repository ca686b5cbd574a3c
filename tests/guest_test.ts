/**
 * The program on a real Linux: what is in `guest/` runs in a guest that QEMU boots, with devices of QEMU's behind VFIO or UIO.
 *
 * @module
 */

import { MACHINES } from "./guest/machines.ts";
import { guestTest } from "./support/guest.ts";

for (const machine of MACHINES) guestTest(machine);
