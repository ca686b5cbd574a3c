import { callBack } from "../bus/application_error.ts";
import * as argument from "../bus/arguments.ts";
import { INTERRUPTS } from "../binding/interrupt_kind.ts";
import type { DriveOptions } from "./kernel.ts";

/** Where drivers can run. */
const ISOLATIONS = ["process", "inline"] as const;
/** Options that take lines for people. */
const LISTENERS = ["log", "notice", "print"] as const;
/** Features are bits of 128. */
const ALL_FEATURES = 2n ** 128n - 1n;

/**
 * Checks how devices are to be driven. Returns a copy, whose callbacks do not throw.
 *
 * @param where What the application called.
 * @throws TypeError If an option is of the wrong kind.
 * @throws RangeError If a number cannot be.
 */
export function checkDriveOptions(given: DriveOptions, where: string): DriveOptions {
  const { ...options } = argument.record(given, where, "options");
  const check = <Name extends keyof DriveOptions>(
    name: Name,
    how: (value: DriveOptions[Name], where: string, name: string) => unknown,
  ) => {
    if (options[name] !== undefined) how(options[name], where, `options.${name}`);
  };
  check("isolation", (...value) => argument.word(...value, ISOLATIONS));
  check("interrupts", (...value) => argument.word(...value, INTERRUPTS));
  check("legacy", argument.flag);
  check("without", (...value) => argument.bits(...value, ALL_FEATURES));
  check("tunables", (value, ...name) => argument.record(value!, ...name));
  check("requestDeadline", (...value) => argument.milliseconds(...value));
  check("watch", (...value) => argument.milliseconds(...value, 1));
  check("restarts", (...value) => argument.integer(...value));
  for (const name of LISTENERS) check(name, argument.callback);
  const listeners = LISTENERS.flatMap((name) => {
    const listener = options[name];
    return listener ? [[name, (line: string) => callBack(listener, line)]] : [];
  });
  return { ...options, ...Object.fromEntries(listeners) };
}
