/** What a frame was hashed by: the number of `VIRTIO_NET_HASH_REPORT_` (virtio 1.4, 5.1.9.4.4). */
export const HashReport = { none: 0, ip4: 1, tcp4: 2, udp4: 3, ip6: 4, tcp6: 5, udp6: 6 } as const;

const TCP = 6, UDP = 17;

/** The hash of a frame, if any of the enabled types (a bit each) fits it. */
export function hashFrame(
  frame: Uint8Array,
  types: number,
  key: Uint8Array,
): { readonly value: number; readonly report: number } {
  const type = frame[12]! << 8 | frame[13]!;
  const [addresses, protocol, ports] = type === 0x0800 && frame.length >= 34
    ? [frame.subarray(26, 34), frame[23]!, 14 + (frame[14]! & 15) * 4]
    : type === 0x86dd && frame.length >= 54
    ? [frame.subarray(22, 54), frame[20]!, 54]
    : [undefined, 0, 0];
  if (!addresses) return { value: 0, report: HashReport.none };
  const plain = type === 0x0800 ? HashReport.ip4 : HashReport.ip6;
  const withPorts = protocol === TCP ? plain + 1 : protocol === UDP ? plain + 2 : plain;
  const enabled = (report: number) => (types >> report - 1 & 1) === 1;
  if (withPorts !== plain && enabled(withPorts) && frame.length >= ports + 4) {
    const input = Uint8Array.of(...addresses, ...frame.subarray(ports, ports + 4));
    return { value: toeplitz(input, key), report: withPorts };
  }
  return enabled(plain)
    ? { value: toeplitz(addresses, key), report: plain }
    : { value: 0, report: HashReport.none };
}

/** The Toeplitz hash: for each bit that is set, 32 bits of the key from there on. */
export function toeplitz(input: Uint8Array, key: Uint8Array): number {
  let hash = 0;
  let window = word(key, 0);
  for (let i = 0; i < input.length; i++) {
    const next = key[i + 4] ?? 0;
    for (let bit = 7; bit >= 0; bit--) {
      if (input[i]! >> bit & 1) hash ^= window;
      window = window << 1 | next >> bit & 1;
    }
  }
  return hash >>> 0;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) << 24 | (bytes[at + 1] ?? 0) << 16 | (bytes[at + 2] ?? 0) << 8 |
    (bytes[at + 3] ?? 0);
}
