import type { Context } from "../../command.ts";
import { messageOf } from "../../exit.ts";
import type { Card } from "../../net/card.ts";

/** Lets the card hear what is for others. Not every card can, and what it hears anyway is worth having. */
export async function hearEverything(context: Context, card: Card): Promise<void> {
  try {
    await context.until(card.filter.setPromiscuous(true));
  } catch (error) {
    context.signal.throwIfAborted();
    context.talk(`Only frames that the card takes for its own: ${messageOf(error)}`);
  }
}
