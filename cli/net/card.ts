import type { NetClient, NetFilter } from "../../classes/network/mod.ts";

/** What the commands need of a network card. */
export type Card =
  & Pick<
    NetClient,
    | "mac"
    | "mtu"
    | "speed"
    | "linkUp"
    | "offloads"
    | "frames"
    | "send"
    | "trySend"
    | "setOffloads"
  >
  & { readonly filter: Pick<NetFilter, "setPromiscuous"> };
