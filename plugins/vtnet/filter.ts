import * as wire from "./wire.ts";

const VLAN_TYPE = 0x8100;

/** Which frames a device lets in (virtio 1.4, 5.1.9.5.1 to 5.1.9.5.3). */
export class Filter {
  /** The modes that are on, by their commands. */
  readonly modes: Set<number> = new Set<number>();
  /** Addresses that are let in besides the device's own, as text. */
  readonly table: Set<string> = new Set<string>();
  /** VLANs that are let in. */
  readonly vlans: Set<number> = new Set<number>();

  /** As after a reset: only what is the device's own. */
  reset(): void {
    this.modes.clear();
    this.table.clear();
    this.vlans.clear();
  }

  /** Switches a mode; false if that cannot be. */
  setMode(command: number, on: number): boolean {
    if (on > 1) return false;
    if (on) this.modes.add(command);
    else this.modes.delete(command);
    return true;
  }

  /** Takes a table over; false if it is none. */
  setTable(bytes: Uint8Array<ArrayBuffer>): boolean {
    const view = new DataView(bytes.buffer);
    const found: string[] = [];
    let at = 0;
    for (const many of [0, 1]) {
      const count = view.getUint32(at, true);
      at += 4;
      for (let i = 0; i < count; i++, at += 6) {
        if (at + 6 > bytes.length || (bytes[at]! & 1) !== many) return false;
        found.push(bytes.subarray(at, at + 6).join());
      }
    }
    if (at !== bytes.length) return false;
    this.table.clear();
    for (const address of found) this.table.add(address);
    return true;
  }

  /** Lets a VLAN in, or no more; false if there is none such. */
  setVlan(id: number, on: boolean): boolean {
    if (id > 4095) return false;
    if (on) this.vlans.add(id);
    else this.vlans.delete(id);
    return true;
  }

  /**
   * Whether a frame is let in.
   *
   * @param own The device's address.
   * @param by What the driver can set, and so has to.
   */
  lets(
    frame: Uint8Array,
    own: Uint8Array,
    by: { readonly addresses: boolean; readonly vlans: boolean },
  ): boolean {
    const tagged = (frame[12]! << 8 | frame[13]!) === VLAN_TYPE;
    if (by.vlans && tagged && !this.vlans.has((frame[14]! << 8 | frame[15]!) & 0xfff)) return false;
    return !by.addresses || this.#letsAddress(frame.subarray(0, 6), own);
  }

  #letsAddress(address: Uint8Array, own: Uint8Array): boolean {
    const on = (mode: number) => this.modes.has(mode);
    if (on(wire.CTRL_RX_PROMISC)) return true;
    if (address.every((byte) => byte === 0xff)) return !on(wire.CTRL_RX_NOBCAST);
    const listed = this.table.has(address.join());
    if (address[0]! & 1) {
      return !on(wire.CTRL_RX_NOMULTI) && (listed || on(wire.CTRL_RX_ALLMULTI));
    }
    if (on(wire.CTRL_RX_NOUNI)) return false;
    return listed || on(wire.CTRL_RX_ALLUNI) || address.every((byte, i) => byte === own[i]);
  }
}
