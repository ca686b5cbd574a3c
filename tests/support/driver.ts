/**
 * Tests a driver in every way in which drivers are tested.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import {
  type AnyModel,
  type DriverReport,
  type DriverTestOptions,
  mustPass,
  testDriver,
} from "../../testing/mod.ts";
import type { AnyPlugin } from "../../core/plugin/pci_plugin.ts";
import { leftovers } from "./leaks.ts";

/** As `testDriver`; it must pass, and leave nothing behind. */
export async function testedDriver<Client, Model extends AnyModel>(
  plugin: AnyPlugin,
  model: () => Model,
  options: DriverTestOptions<Client, Model>,
): Promise<DriverReport> {
  let report!: DriverReport;
  const left = await leftovers(async () => {
    report = await testDriver(plugin, model, options);
  });
  mustPass(report);
  assertEquals(left, []);
  return report;
}
