import { join } from "node:path";
import { givenUrl, takesUrl, urlVariable, type Wanted } from "./find-broker.ts";
import { stateFolder } from "./folders.ts";
import { keptInstance, listInstances, sweepInstances } from "./instances.ts";
import { withLock } from "./lock.ts";
import type { OwnBroker } from "./own-broker.ts";
import { adoptBroker, startOwn } from "./start-broker.ts";

/** What the command line starts: one of each label, shared by all of this user's processes, until it is stopped. */
export interface KeptUrl {
  readonly url: string;
  /** "2.15.2, /usr/bin/nats-server", or what gave it. */
  readonly about: string;
  /** The variable by which tests are told of it; undefined for a variant, which they start themselves. */
  readonly variable: string | undefined;
}

/** One change at a time of a label, so that two that start it get one. */
const alone = <T>(label: string, work: () => Promise<T>): Promise<T> =>
  withLock(join(stateFolder(), `kept-${label.replaceAll("/", "-")}.lock`), work);

/** Also one that was killed or paused. */
export async function startKept(wanted: Wanted, say: (line: string) => void): Promise<KeptUrl> {
  const variable = takesUrl(wanted) ? urlVariable(wanted) : undefined;
  const given = givenUrl(wanted);
  if (given !== undefined) return { url: given.url, about: `given by ${given.variable}`, variable };
  return alone(wanted.label, async () => {
    const known = keptInstance(wanted.label);
    const broker = known === undefined ? await startOwn(wanted, say) : adoptBroker(known);
    await broker.start();
    broker.keep();
    return { url: broker.url, about: `${broker.version}, ${broker.origin}`, variable };
  });
}

/** Rejects when none is kept. */
export async function withKept<T>({ label }: Wanted, work: (broker: OwnBroker) => Promise<T>): Promise<T> {
  return alone(label, async () => {
    const known = keptInstance(label);
    if (known === undefined) throw new Error(`${label} was not started: npm run brokers -- start ${label}`);
    return work(adoptBroker(known));
  });
}

/** What was stopped. One that is not there is stopped already. */
export async function stopKept(labels: readonly string[]): Promise<readonly string[]> {
  await sweepInstances();
  const stopped: string[] = [];
  for (const label of labels) {
    await alone(label, async () => {
      const known = keptInstance(label);
      if (known === undefined) return;
      await adoptBroker(known)[Symbol.asyncDispose]();
      stopped.push(label);
    });
  }
  return stopped;
}

export const keptLabels = (): readonly string[] =>
  listInstances().flatMap(({ label, owner }) => (owner === null ? [label] : []));

/** Of all processes, a line each. */
export async function statusLines(): Promise<readonly string[]> {
  const brokers = listInstances().map(adoptBroker);
  return Promise.all(
    brokers.map(async (broker) => {
      const whose = broker.ownerPid === undefined ? "kept" : `of process ${broker.ownerPid}`;
      const pids = broker.pids.length === 0 ? "" : `, pid ${broker.pids.join(" ")}`;
      const state = await broker.state();
      return `${broker.label}  ${broker.url}  ${state}${pids}, ${whose}, since ${broker.since}, ${broker.version}, ${broker.origin}`;
    }),
  );
}
