import { assertEquals, assertRejects } from "@std/assert";
import { libc } from "../linux/libc.ts";
import { InterruptLoop } from "../irq/interrupt_loop.ts";
import { byteRegisters } from "../pci/byte_registers.ts";
import type { PciFunction } from "../pci/function.ts";
import type { Platform } from "../platform/platform.ts";
import { Kernel } from "./kernel.ts";

libc(); // Open before the tests: it stays open, which would count as a leak of the first one.

function pciFunction(address: string): PciFunction {
  return {
    address,
    config: byteRegisters(new Uint8Array(64)),
    open() {
      throw new Error("it is only looked at");
    },
  };
}

Deno.test("Kernel.refresh sees what came and what went, where the platform can tell", async () => {
  const loop = new InterruptLoop();
  let there = ["0000:00:01.0", "0000:00:02.0"];
  let functions = there.map(pciFunction);
  const platform: Platform = {
    kind: "local",
    description: "made up",
    get functions() {
      return functions;
    },
    refresh: () => functions = there.map(pciFunction),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const close = () => loop[Symbol.asyncDispose]();
  await using kernel = new Kernel({ loop, platform, drivers: [], classes: {}, close });
  const addresses = () => kernel.nodes.map((node) => node.function.address);
  there = ["0000:00:02.0", "0000:00:03.0"];
  assertEquals(addresses(), ["0000:00:01.0", "0000:00:02.0"]);
  assertEquals(kernel.refresh().map((node) => node.function.address), there);
  assertEquals(addresses(), there);
  await assertRejects(() => kernel.attach("0000:00:01.0"), RangeError, "no such function");
});
