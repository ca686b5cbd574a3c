// How a test of a driver ends, if it is not passed.

import type { Mistake } from "./report.ts";

/** What a driver did wrong, as an error that ends its test. */
export class Failure extends Error implements Mistake {
  override readonly name = "Failure";
  readonly step: string;
  readonly found: string;
  readonly wanted: string;

  constructor(step: string, found: string, wanted: string) {
    super(`while ${step}: found ${found}, wanted ${wanted}`);
    this.step = step;
    this.found = found;
    this.wanted = wanted;
  }
}

/** A test that says nothing about this driver, and why. */
export class NotApplicable extends Error {
  override readonly name = "NotApplicable";
}
