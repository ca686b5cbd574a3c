import type { NetClient } from "../../classes/network/client.ts";
import type { NetFilter } from "../../classes/network/filter.ts";

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
