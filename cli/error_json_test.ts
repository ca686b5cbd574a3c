import { assertEquals } from "@std/assert";
import { errorJson } from "./error_json.ts";
import { CliError, EXIT, usageError } from "./exit.ts";

/** An error, and its parts. */
const ERRORS: readonly (readonly [Error, Partial<ReturnType<typeof errorJson>>])[] = [
  [
    new CliError(
      EXIT.notFound,
      "Cannot find 0000:00:09.0 on the qemu machine (QEMU): it has 0000:00:01.0. Another machine: --machine local",
    ),
    {
      exit: 3,
      meaning: "no such device, unit or port, or no driver for it",
      what: "Cannot find 0000:00:09.0 on the qemu machine (QEMU)",
      where: "0000:00:09.0",
      why: "it has 0000:00:01.0",
      next: "Another machine: --machine local",
      rule: null,
    },
  ],
  [
    usageError('Unknown value "x" for --machine: wanted one of local, qemu. Did you mean "qemu"?'),
    {
      exit: 2,
      what: 'Unknown value "x" for --machine',
      where: "--machine",
      why: "wanted one of local, qemu",
      next: 'Did you mean "qemu"?',
    },
  ],
  [
    usageError('Unknown command "x". The commands are ls, show; run with --help for more'),
    {
      what: 'Unknown command "x"',
      where: null,
      why: null,
      next: "The commands are ls, show; run with --help for more",
    },
  ],
  [
    new CliError(EXIT.timeout, "Not done after 3 seconds: --timeout allows more"),
    { exit: 124, what: "Not done after 3 seconds", why: "--timeout allows more", next: null },
  ],
  [
    Object.assign(new Error("On queue 0 the device lied [D-41]"), { name: "DeviceFault" }),
    { exit: 6, what: "On queue 0 the device lied [D-41]", why: null, next: null, rule: "D-41" },
  ],
  [new Error("a: b\n    at mod.ts:3"), { exit: 1, what: "a", why: "b", next: null }],
];

for (const [error, parts] of ERRORS) {
  Deno.test(`errorJson: ${error.message.slice(0, 40)} #cli:json_errors`, () => {
    const json = errorJson(error);
    assertEquals(json.message, error.message);
    assertEquals({ ...json, ...parts }, json);
  });
}
