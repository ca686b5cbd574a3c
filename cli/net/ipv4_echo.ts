import { equal } from "./bytes.ts";
import type { Answer, EchoPath } from "./echo_path.ts";
import { EtherType } from "./ethernet.ts";
import { ECHO_HEADER, echoOf, icmpEcho, icmpError, IcmpType, readIcmpEcho } from "./icmp.ts";
import { formatIpv4, IPV4_HEADER, ipv4Packet, Protocol, readIpv4 } from "./ipv4.ts";
import type { Link } from "./link.ts";

/** Echo messages in IPv4 packets, through the neighbour `mac`. */
export function ipv4EchoPath(
  link: Link,
  source: Uint8Array,
  target: Uint8Array,
  mac: Uint8Array,
): EchoPath {
  return {
    source: formatIpv4(source),
    target: formatIpv4(target),
    headers: IPV4_HEADER + ECHO_HEADER,
    send(echo) {
      const payload = icmpEcho(IcmpType.echoRequest, echo);
      const packet = ipv4Packet({ source, destination: target, protocol: Protocol.icmp, payload });
      link.send(mac, EtherType.ipv4, packet);
    },
    read({ type, payload }) {
      const packet = type === EtherType.ipv4 ? readIpv4(payload) : undefined;
      if (!packet || packet.protocol !== Protocol.icmp || packet.fragment) return undefined;
      if (!equal(packet.destination, source)) return undefined;
      const { ttl } = packet;
      const from = formatIpv4(packet.source);
      const echo = readIcmpEcho(packet.payload, IcmpType.echoReply);
      if (echo) return { from, ttl, ...echo };
      return readError(packet.payload, from, ttl);
    },
  };

  /** An error message quotes the header of the packet that it is about, and at least eight bytes behind it. */
  function readError(message: Uint8Array, from: string, ttl: number): Answer | undefined {
    const error = message.length >= 36 && icmpError(message[0]!, message[1]!);
    if (!error) return undefined;
    const quoted = message.subarray(8);
    const header = (quoted[0]! & 0xf) * 4;
    const request = quoted.subarray(header);
    if (quoted[0]! >> 4 !== 4 || quoted[9] !== Protocol.icmp || request.length < 8) {
      return undefined;
    }
    if (!equal(quoted.subarray(16, 20), target) || request[0] !== IcmpType.echoRequest) {
      return undefined;
    }
    const { identifier, sequence } = echoOf(request);
    return { from, ttl, identifier, sequence, error };
  }
}
