/**
 * Talks through ports of a serial device: one that is there from the start, and one that is plugged in later.
 *
 *     deno run --allow-ffi examples/console.ts
 *
 * @module
 */

import { ConsoleModel } from "@virtio/console/model";
import { openKernel } from "../mod.ts";

if (import.meta.main) {
  // The other side: a console of 80 by 25, and a port that sends back what it gets.
  const device = new ConsoleModel({
    ports: { 0: { console: true }, 1: { name: "org.example.echo", echo: true } },
    size: [80, 25],
  });
  await using kernel = await openKernel({ machine: "simulated", devices: [device] });
  const { client } = await kernel.attachFirst("console");

  for (const { id, name, isConsole, size } of await client.announced()) {
    console.log(id, name || "-", isConsole ? `console ${size?.columns}x${size?.rows}` : "port");
  }

  const echo = client.port("org.example.echo")!;
  await echo.open();
  await echo.write(new TextEncoder().encode("hello"));
  console.log("echo:", new TextDecoder().decode((await echo.read())!));

  device.add(2, { name: "org.example.late" });
  const late = (await client.find("org.example.late"))!;
  await late.open();
  device.send(2, "a line\nand another\n");
  device.open(2, false);
  const lines = late.readable.pipeThrough(new TextDecoderStream());
  console.log("late:", JSON.stringify((await Array.fromAsync(lines)).join("")));

  const changes = client.changes();
  device.remove(2);
  for await (const { type } of changes) if (type === "removed") break;
  console.log("ports:", client.ports.length);
}

// prints: 0 - console 80x25
// prints: 1 org.example.echo port
// prints: echo: hello
// prints: late: "a line\nand another\n"
// prints: ports: 2
