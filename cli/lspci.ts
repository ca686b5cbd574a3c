import { formatAddress, formatShortAddress, parseAddress, type PciNames } from "../machine/mod.ts";
import type { PciIdentity } from "../mod.ts";

/** A function as `lspci -nn` prints it; like there, the domain is only shown where there are several. */
export function lspciLine(
  address: string,
  identity: PciIdentity,
  names: PciNames,
  withDomain: boolean,
): string {
  const where = shortAddress(address, withDomain);
  const revision = identity.revision === 0 ? "" : ` (rev ${hex(identity.revision, 2)})`;
  return `${where} ${className(identity, names)}: ${deviceName(identity, names)}${revision}`;
}

/** An address, without its domain where that goes without saying. */
export function shortAddress(address: string, withDomain: boolean): string {
  const parsed = parseAddress(address);
  return withDomain ? formatAddress(parsed) : formatShortAddress(parsed);
}

/** What a function is, the most telling first: `Virtio 1.0 network device, Red Hat, Inc.` */
export function whatItIs({ vendor, device, class: code }: PciIdentity, names: PciNames): string {
  const number = code >> 8;
  const what = names.device(vendor, device) ?? names.subclass(number) ??
    names.baseClass(number >> 8) ?? "unknown";
  const maker = names.vendor(vendor);
  return maker === undefined ? what : `${what}, ${maker}`;
}

/** Whether a machine's addresses have to be shown with their domains. */
export function needsDomain(addresses: readonly string[]): boolean {
  return addresses.some((address) => parseAddress(address).domain !== 0);
}

/** `Ethernet controller [0200]`. */
export function className(identity: PciIdentity, names: PciNames): string {
  const number = identity.class >> 8;
  const name = names.subclass(number) ?? names.baseClass(number >> 8) ?? "Class";
  return `${name} [${hex(number, 4)}]`;
}

/** `Red Hat, Inc. Virtio 1.0 network device [1af4:1041]`. */
export function deviceName({ vendor, device }: PciIdentity, names: PciNames): string {
  const numbers = `[${hex(vendor, 4)}:${hex(device, 4)}]`;
  const maker = names.vendor(vendor);
  if (maker === undefined) return `Device ${numbers}`;
  return `${maker} ${names.device(vendor, device) ?? "Device"} ${numbers}`;
}

/** A number with all its digits, without `0x`. */
export function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
