/**
 * Finds the disks of a SCSI adapter, watches one grow, and reads what was written. Run it with `--allow-ffi`.
 *
 * @module
 */

import { formatScsiAddress } from "@virtio/deno/scsi";
import { openKernel } from "@virtio/deno";
import { ScsiModel } from "@virtio/scsi/model";

const MIB = 2 ** 20;
const adapter = new ScsiModel({
  units: [
    { capacity: 8 * MIB, serial: "EXAMPLE-1" },
    { target: 1, lun: 4, type: "cdrom", capacity: 2 * MIB },
  ],
});

await using kernel = await openKernel({ machine: "simulated", devices: [adapter] });
const { client } = await kernel.attachFirst("scsi");
const changes = client.changes();
for (const { address, inquiry } of await client.scan()) {
  const disk = await client.disk(address);
  console.log(formatScsiAddress(address), inquiry.product, disk.capacity / MIB, "MiB");
}

const disk = await client.disk({ target: 0, lun: 0 });
adapter.resize(0, 0, 16 * MIB);
for await (const change of changes) if (change.type === "changed") break;
await disk.refresh();
await disk.write(12 * MIB, new Uint8Array(4096).fill(42));
await disk.flush();
console.log(await disk.id(), disk.capacity / MIB, (await disk.read(12 * MIB, 512))[0]);

// prints: 0:0 Simulated disk 8 MiB
// prints: 1:4 Simulated CD-ROM 2 MiB
// prints: EXAMPLE-1 16 42
