// run
import { openKernel } from "@virtio/deno";

await using kernel = await openKernel({ machine: "simulated" });
const { client: disk } = await kernel.attachFirst("block");
const { client: source } = await kernel.attachFirst("entropy");

const bytes = await source.read(4096);
await disk.write(0, bytes);
await disk.flush();
const copy = await disk.read(0, 4096);
console.log(await disk.id(), copy.every((byte, i) => byte === bytes[i]));
// output: SIMULATED-0001 true
