import { assertEquals } from "@std/assert";
import { ConsoleModel } from "@virtio/console/model";
import { DRIVERS } from "../../drivers.ts";
import { openKernel } from "../../mod.ts";
import "../../tests/support/libc.ts";
import * as wire from "../../plugins/console/wire.ts";
import { checkConsole } from "./check.ts";

/** Checks a simulated device. */
async function check(model: ConsoleModel, write = true) {
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [model],
    drivers: DRIVERS,
    isolation: "inline",
  });
  const { client } = await kernel.attachFirst("console");
  const { findings, figures, nothing } = await checkConsole(client, { write });
  const failed = findings.filter(({ passed }) => !passed).map(({ name }) => name);
  return { failed, figures, nothing, heard: model.heard.map(({ event }) => event) };
}

Deno.test("checkConsole passes good ports, and leaves consoles and closed ones alone", async () => {
  const model = new ConsoleModel({
    ports: { 0: { console: true }, 1: { name: "an.echo", echo: true }, 2: { open: false }, 3: {} },
  });
  const { failed, figures } = await check(model);
  assertEquals(failed, []);
  assertEquals([figures.ports, figures.consoles, figures.bytes, figures.echoed], [
    4,
    1,
    131072,
    65536,
  ]);
  assertEquals([model.take(0).length, model.lost, model.take(3).length], [0, 0, 65536]);
});

Deno.test("checkConsole only looks unless it may write", async () => {
  const model = new ConsoleModel({ ports: { 1: { name: "an.echo", echo: true } } });
  const { failed, figures, heard } = await check(model, false);
  assertEquals([failed, figures.ports, figures.bytes], [[], 1, 0]);
  assertEquals(heard, [wire.DEVICE_READY, wire.PORT_READY]);
});

Deno.test("checkConsole does not blame a port that is not read", async () => {
  const model = new ConsoleModel({ ports: { 1: { name: "silent" } } });
  model.drain(1, false);
  const { failed, figures } = await check(model);
  assertEquals([failed, figures.bytes], [[], 0]);
});

Deno.test("checkConsole finds nothing to check in a device without ports #cli:check_nothing", async () => {
  const { failed, nothing } = await check(new ConsoleModel({ ports: {} }));
  assertEquals([failed, nothing], [[], true]);
});

Deno.test("checkConsole fails an echo that sends something else, and two ports of one name", async () => {
  const wrong = new ConsoleModel({
    ports: { 1: { name: "an.echo" }, 2: { name: "an.echo", open: false } },
  });
  wrong.send(1, new Uint8Array(65536));
  assertEquals((await check(wrong)).failed, ["names", "echo of port 1"]);
});
