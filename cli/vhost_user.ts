// Devices that other programs serve, as a command line names them.

import type { BackEndKind, VhostUserDevice } from "../mod.ts";
import { usageError } from "./exit.ts";
import { suggest } from "./suggest.ts";

const KINDS = [
  "blk",
  "net",
  "scsi",
  "rng",
  "console",
  "balloon",
  "fs",
] as const satisfies readonly BackEndKind[];

/**
 * Takes a device from a command line, as in `net=/run/net.sock,mac=52:54:00:12:34:56,listen`.
 *
 * @throws {CliError} With status 2, if it is none.
 */
export function parseVhostUser(text: string): VhostUserDevice {
  const [first = "", ...more] = text.split(",");
  const [, name = "", socket = ""] = /^([^=]*)=?(.*)$/s.exec(first) ?? [];
  const wrong = (why: string) =>
    usageError(
      `Cannot use ${
        JSON.stringify(text)
      } as a device: ${why}. Wanted for example blk=/run/disk.sock, or ` +
        "net=/run/net.sock,mac=52:54:00:12:34:56,listen",
    );
  const whole = (value: string, option: string) => {
    if (/^[1-9][0-9]{0,5}$/.test(value)) return Number(value);
    throw wrong(`${JSON.stringify(option)} says no number from 1 on`);
  };
  // What vhost-user calls rng is random to all other commands, and so to their users.
  const kind = name === "random" ? "rng" : KINDS.find((each) => each === name);
  if (!kind) {
    const known = KINDS.join(", ");
    throw wrong(`${JSON.stringify(name)} is none of ${known}${suggest(name, KINDS).trimEnd()}`);
  }
  if (socket === "") throw wrong("it names no socket");
  return more.reduce<VhostUserDevice>((device, option) => {
    const [, key, value] = /^([^=]*)(?:=(.*))?$/s.exec(option) ?? [];
    if (key === "listen" && value === undefined) return { ...device, listen: true };
    if (key === "mac" && value) return { ...device, mac: value };
    if (key === "pairs" && value) return { ...device, pairs: whole(value, option) };
    if (key === "size" && value) return { ...device, queueSize: whole(value, option) };
    throw wrong(`${JSON.stringify(option)} is none of mac=, pairs=, size= and listen`);
  }, { kind, socket });
}
