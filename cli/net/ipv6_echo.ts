import { equal } from "./bytes.ts";
import type { EchoPath } from "./echo_path.ts";
import { EtherType } from "./ethernet.ts";
import { ECHO_HEADER, echoOf, icmpEcho } from "./icmp.ts";
import { icmp6Error, icmp6Packet, Icmp6Type, readIcmp6 } from "./icmp6.ts";
import { Protocol } from "./ipv4.ts";
import { formatIpv6, IPV6_HEADER } from "./ipv6.ts";
import type { Link } from "./link.ts";

const HOPS = 64;

/** Echo messages in IPv6 packets, through the neighbour `mac`. */
export function ipv6EchoPath(
  link: Link,
  source: Uint8Array,
  target: Uint8Array,
  mac: Uint8Array,
): EchoPath {
  return {
    source: formatIpv6(source),
    target: formatIpv6(target),
    headers: IPV6_HEADER + ECHO_HEADER,
    send(echo) {
      const message = icmpEcho(Icmp6Type.echoRequest, echo);
      link.send(mac, EtherType.ipv6, icmp6Packet(source, target, HOPS, message));
    },
    read(frame) {
      const packet = readIcmp6(frame);
      if (!packet || !equal(packet.destination, source)) return undefined;
      const { payload } = packet;
      const from = { from: formatIpv6(packet.source), ttl: packet.hops };
      if (payload[0] === Icmp6Type.echoReply) return { ...from, ...echoOf(payload) };
      const error = icmp6Error(payload[0]!, payload[1]!);
      // An error message quotes as much as it can of the packet that it is about.
      const quoted = payload.subarray(8);
      const request = quoted.subarray(IPV6_HEADER);
      if (!error || request.length < 8 || request[0] !== Icmp6Type.echoRequest) return undefined;
      if (quoted[6] !== Protocol.icmp6 || !equal(quoted.subarray(24, 40), target)) return undefined;
      const { identifier, sequence } = echoOf(request);
      return { ...from, identifier, sequence, error };
    },
  };
}
