/**
 * Ways to a station: the card becomes a member of its network for as long as it takes.
 *
 * @module
 */
import { CliError, EXIT } from "../exit.ts";
import { releaseLease, requestLease } from "./dhcp_client.ts";
import type { EchoPath } from "./echo_path.ts";
import { formatIpv4 } from "./ipv4.ts";
import { ipv4EchoPath } from "./ipv4_echo.ts";
import { answerArp, type Ipv4Setup, nextHop, resolve } from "./ipv4_setup.ts";
import { formatIpv6 } from "./ipv6.ts";
import { ipv6EchoPath } from "./ipv6_echo.ts";
import {
  answerNeighbors,
  type Ipv6Setup,
  isWithin,
  linkLocal,
  resolveNeighbor,
  solicitRouter,
} from "./ipv6_setup.ts";
import type { Link } from "./link.ts";

/** What all DHCP clients must take (RFC 2131, 2). */
const DHCP_LEAST_MTU = 576;

/** A way to a station. What was lent is given back when it is disposed. */
export interface Network extends AsyncDisposable {
  readonly path: EchoPath;
  /** The router for what is not on this network, if there is one. */
  readonly gateway: string | undefined;
  /** The server that lent us the address, and for how many seconds, if one did. */
  readonly lease: { readonly server: string; readonly seconds: number | undefined } | undefined;
}

/**
 * The way to an IPv4 station.
 *
 * @param given How to take part; asked of a DHCP server if undefined.
 * @throws {CliError} If no server lends us an address, or the target cannot be reached.
 */
export async function joinIpv4(
  link: Link,
  target: Uint8Array,
  given: Ipv4Setup | undefined,
): Promise<Network> {
  if (!given && link.mtu < DHCP_LEAST_MTU) {
    throw new CliError(
      EXIT.failed,
      `Cannot get an address: DHCP needs packets of ${DHCP_LEAST_MTU} bytes, and the card sends up to ${link.mtu}. ` +
        "Give one with --address a.b.c.d/length",
    );
  }
  await using stack = new AsyncDisposableStack();
  const lease = given ? undefined : await requestLease(link);
  const setup = given ?? lease;
  if (!setup) {
    throw new CliError(
      EXIT.failed,
      "Cannot get an address: no DHCP server answers. Give one with --address a.b.c.d/length",
    );
  }
  // A server that does not hear it takes the address back when the time is over.
  if (lease) stack.defer(() => releaseLease(link, lease));
  const { address, gateway } = setup;
  stack.use(answerArp(link, address));
  const hop = nextHop(setup, target);
  const names = { target: formatIpv4(target), source: formatIpv4(address) };
  if (!hop) throw noGateway(names);
  const mac = await resolve(link, address, hop);
  if (!mac) throw noAnswer(names, hop === target ? undefined : formatIpv4(hop), "ARP requests");
  const kept = stack.move();
  return {
    path: ipv4EchoPath(link, address, target, mac),
    gateway: gateway && formatIpv4(gateway),
    lease: lease && { server: formatIpv4(lease.server), seconds: lease.seconds },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/**
 * The way to an IPv6 station.
 *
 * @param given How to take part, beside the address that every card has; asked of a router if undefined.
 * @throws {CliError} If the target cannot be reached.
 */
export async function joinIpv6(
  link: Link,
  target: Uint8Array,
  given: Ipv6Setup | undefined,
): Promise<Network> {
  await using stack = new AsyncDisposableStack();
  const local = linkLocal(link.mac);
  const setup = given
    ? { ...given, networks: [local, ...given.networks] }
    // A target on this link can be reached without a router.
    : isWithin(local, target)
    ? { networks: [local] }
    : await solicitRouter(link);
  const { networks, router } = setup;
  stack.use(answerNeighbors(link, networks.map(({ address }) => address)));
  const here = networks.find((network) => isWithin(network, target));
  // An address that holds on this link alone is of no use behind a router.
  const own = here ?? networks[1];
  const hop = here ? target : router;
  const names = {
    target: formatIpv6(target),
    source: networks.map(({ address }) => formatIpv6(address)).join(", "),
  };
  if (!own || !hop) throw noGateway(names);
  const mac = await resolveNeighbor(link, own.address, hop);
  if (!mac) throw noAnswer(names, here ? undefined : formatIpv6(hop), "neighbor solicitations");
  const kept = stack.move();
  return {
    path: ipv6EchoPath(link, own.address, target, mac),
    gateway: router && formatIpv6(router),
    lease: undefined,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

interface Names {
  readonly target: string;
  readonly source: string;
}

function noGateway({ target, source }: Names): CliError {
  return new CliError(
    EXIT.failed,
    `Cannot reach ${target}: it is not on the network of ${source}, and no router there passes ` +
      `packets on. Name one with --address and --gateway`,
  );
}

function noAnswer({ target, source }: Names, gateway: string | undefined, what: string): CliError {
  return new CliError(
    EXIT.failed,
    `Cannot reach ${target}: ${gateway ? `the gateway ${gateway}` : "it"} does not answer ` +
      `${what} from ${source}`,
  );
}
