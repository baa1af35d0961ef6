import type { Connector } from "./connector.ts";
import type { Core } from "./core.ts";
import { within } from "./deadline.ts";
import type { GroupState } from "./driver.ts";
import { Routing } from "./routing.ts";
import type { Health, SubscriptionHealth } from "./status.ts";
import { runnerOf } from "./subscription.ts";
import type { Subscription } from "./handler.ts";
import type { Subscriptions } from "./subscriptions.ts";
import { wrapError } from "./wrap-error.ts";

/** Asks the broker and looks at every subscription: what is not seen to work is not called up. */
export async function checkHealth(
  core: Core,
  connector: Connector,
  subscriptions: Subscriptions | undefined,
  responders: readonly Subscription[],
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Health> {
  const reasons: string[] = [];
  const startedAt = core.clock.ticks();
  let broker: Health["broker"] = {};
  let groups: readonly GroupState[] | undefined;
  const streams = new Routing();
  let roundTripMs: number | undefined;
  let answered = false;
  const connection = connector.active;
  if (connection === undefined)
    reasons.push(
      connector.lastFailure === undefined
        ? `not connected (${connector.state})`
        : `not connected: ${connector.lastFailure.message}`,
    );
  else {
    try {
      const asked = connection.ping().then(async (says) => {
        broker = says;
        roundTripMs = core.clock.ticks() - startedAt;
        groups = await connection.admin.groups();
        streams.update(await connection.admin.streams());
      });
      answered = await within(core.wheel, timeoutMs, asked, signal);
      if (!answered) reasons.push(`the broker did not answer within ${timeoutMs} ms`);
      if (connector.state === "reconnecting") reasons.push("the connection is lost, reconnecting");
    } catch (error) {
      if (signal?.aborted === true) throw error;
      reasons.push(wrapError(connector.driver, "asking the broker", error).message);
    }
  }
  const known = new Map(groups?.map((state) => [state.spec.group, state]));
  const seen = (subscriptions?.all ?? []).map((subscription): SubscriptionHealth => {
    const { id, group, state } = subscription;
    const runner = runnerOf(subscription);
    if (state === "recovering" || state === "closed")
      reasons.push(`subscription ${id} (${runner.name}) does not run: ${state}`);
    if (state === "declared" && connection !== undefined)
      reasons.push(`subscription ${id} (${runner.name}) has not started`);
    if (runner.hung.size > 0)
      reasons.push(`handler "${runner.name}" hangs: ${runner.hung.size} of its runs took more than twice their limit`);
    const atBroker = group === undefined ? undefined : known.get(group);
    if (group !== undefined && answered && atBroker === undefined && state !== "declared")
      reasons.push(`group "${group}" does not exist at the broker`);
    if (answered && streams.reads(subscription.patterns).length === 0)
      reasons.push(
        `subscription ${id} (${runner.name}) reads no stream: none captures ${subscription.patterns.join(", ")}`,
      );
    const last = runner.counters.lastDeliveryAt;
    return {
      id,
      group,
      state,
      lastDelivery: last === undefined ? undefined : new Date(last),
      waiting: atBroker?.waiting,
    };
  });
  const answering = responders.map((responder): SubscriptionHealth => {
    const { lastDeliveryAt } = responder.stats();
    return {
      id: responder.id,
      group: responder.group,
      state: responder.state,
      lastDelivery: lastDeliveryAt,
      waiting: undefined,
    };
  });
  for (const fanOut of subscriptions?.fanOuts ?? [])
    if (fanOut.supervisor.failure !== undefined) reasons.push(fanOut.supervisor.failure.message);
  for (const member of subscriptions?.members ?? [])
    if (member.supervisor.failure !== undefined) reasons.push(member.supervisor.failure.message);
  const status = !answered ? "down" : reasons.length > 0 ? "degraded" : "up";
  return {
    status,
    driver: connection === undefined ? undefined : connector.driver.name,
    roundTripMs,
    broker,
    subscriptions: [...seen, ...answering],
    reasons,
  };
}
