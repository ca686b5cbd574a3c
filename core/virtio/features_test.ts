import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  bit,
  CORE_FEATURES,
  driverFeatures,
  Feature,
  featureName,
  featureNumbers,
  featureText,
  has,
} from "./features.ts";
import { DeviceStatus, statusNames } from "./status.ts";

Deno.test("a set of features is what is in it", () => {
  fc.assert(fc.property(fc.uniqueArray(fc.nat(127)), (numbers) => {
    const set = numbers.reduce((all, number) => all | bit(number), 0n);
    assertEquals(featureNumbers(set), numbers.toSorted((a, b) => a - b));
    for (let i = 0; i < 128; i++) assertEquals(has(set, i), numbers.includes(i));
    assertEquals(BigInt(featureText(set)), set);
  }));
});

Deno.test("bits 24 to 41 are the core's, all others the driver's (2.2)", () => {
  const mine = featureNumbers(driverFeatures((1n << 128n) - 1n));
  const expected = Array.from({ length: 128 }, (_, i) => i).filter((i) => i < 24 || i > 41);
  assertEquals(mine, expected);
  assertEquals(driverFeatures(CORE_FEATURES), 0n);
});

Deno.test("the core takes no feature that it does not know how to use", () => {
  for (const feature of [Feature.SR_IOV, Feature.ADMIN_VQ]) {
    assert(!has(CORE_FEATURES, feature));
  }
  assert(has(CORE_FEATURES, Feature.VERSION_1));
});

Deno.test("features of ring and transport have names, others numbers", () => {
  assertEquals(featureName(32), "VIRTIO_F_VERSION_1");
  assertEquals(featureName(5), "bit 5");
});

Deno.test("status bits are named in the order in which they are set", () => {
  assertEquals(statusNames(0), []);
  assertEquals(statusNames(0xff), [
    "ACKNOWLEDGE",
    "DRIVER",
    "FEATURES_OK",
    "DRIVER_OK",
    "DEVICE_NEEDS_RESET",
    "FAILED",
  ]);
  assertEquals(statusNames(DeviceStatus.FAILED | 0x30), ["FAILED"]);
});
