import type { NetClient } from "../../core/class/net_client.ts";

/** What the commands need of a network card. */
export type Card = Pick<
  NetClient,
  | "mac"
  | "mtu"
  | "speed"
  | "linkUp"
  | "offloads"
  | "frames"
  | "send"
  | "trySend"
  | "setPromiscuous"
  | "setOffloads"
>;
