import type { Bus, Outgoing } from "../../src/index.ts";
import type { Published } from "./check.ts";
import { type PayloadOptions, webhooks } from "./payloads.ts";
import { WebhookReceived } from "./webhook.ts";

const chunk = 200;

export interface PublishReport {
  readonly published: readonly Published[];
  readonly ms: number;
}

/** Publishes all webhooks, one chunk after the other. Rejects when one is refused. */
export async function publishAll(
  bus: Bus,
  options: PayloadOptions,
  onPublished: (count: number) => void,
): Promise<PublishReport> {
  const published: Published[] = [];
  let ms = 0;
  let items: Outgoing[] = [];
  let places: Omit<Published, "id">[] = [];
  const send = async (): Promise<void> => {
    const started = performance.now();
    const outcomes = await bus.publishMany(items);
    ms += performance.now() - started;
    for (const [at, outcome] of outcomes.entries()) {
      if (!outcome.ok) throw outcome.error;
      published.push({ id: outcome.receipt.id, ...places[at]! });
    }
    items = [];
    places = [];
    onPublished(published.length);
  };
  for (const webhook of webhooks(options)) {
    items.push(WebhookReceived.of(webhook));
    places.push({ key: webhook.payload.repository.full_name, number: webhook.number });
    if (items.length === chunk) await send();
  }
  if (items.length > 0) await send();
  return { published, ms };
}
