/**
 * What TypeScript makes of kernels that know more classes: checked when this is, and at work once.
 *
 * @module
 */

import { defineClass, type DeviceClass } from "../core/class/mod.ts";
import { assertEquals } from "@std/assert";
import { type AnyKernel, type Kernel, openKernel } from "../mod.ts";
import "./support/libc.ts";

interface Counter {
  readonly count: number;
}

/** A table of classes that is an interface, without an index signature. */
interface Brought {
  readonly counter: DeviceClass<Counter>;
}

const counter: DeviceClass<Counter> = defineClass({
  lanes: ["requests"],
  open: ({ requests }) => ({ client: { count: requests.slots } }),
});

/** A function that takes any kernel. */
function addresses(kernel: AnyKernel): readonly string[] {
  return kernel.nodes.map((node) => node.function.address);
}

type Same<A, B> = [A, B] extends [B, A] ? true : false;

Deno.test("a kernel that knows more classes passes for any kernel, and types its clients #core:class_types", async () => {
  const brought: Brought = { counter };
  await using kernel: Kernel<Brought> = await openKernel({
    machine: "simulated",
    classes: brought,
  });
  await using plain: Kernel = await openKernel({ machine: "simulated" });
  assertEquals(addresses(kernel), addresses(plain));

  const attach = () => kernel.attachFirst("counter");
  const named: Same<Awaited<ReturnType<typeof attach>>["client"], Counter> = true;
  const device = await kernel.attach(addresses(kernel)[0]!);
  // Its class tells the type of its client, among those that come along and those that were brought.
  if (device.class === "counter") ((client: Counter) => client.count)(device.client);
  if (device.class === "entropy") assertEquals((await device.client.read(16)).length, 16);
  assertEquals([named, device.class], [true, "entropy"]);
});

Deno.test("what is no class, or takes the place of one with another type, is no class to TypeScript #core:class_types", async () => {
  // @ts-expect-error -- a class has a method that opens clients
  const wrong = openKernel({ machine: "simulated", classes: { counter: 3 } });
  const [{ status }] = await Promise.allSettled([wrong]);
  assertEquals(status, "rejected");
});
