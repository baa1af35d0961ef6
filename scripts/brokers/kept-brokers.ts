import { join } from "node:path";
import { givenUrl, takesUrl, urlVariable, type Wanted } from "./find-broker.ts";
import { stateFolder } from "./folders.ts";
import { brokerKinds } from "./broker-name.ts";
import { type Instance, keptInstance, listInstances, removeInstance, sweepInstances } from "./instances.ts";
import { withLock } from "./lock.ts";
import type { OwnBroker } from "./own-broker.ts";
import { adoptBroker, startOwn } from "./start-broker.ts";

/** What the command line starts: one of each label, shared by all of this user's processes, until it is stopped. */
export interface KeptUrl {
  readonly url: string;
  /** The url for people: one that was given without what is secret in it. */
  readonly shown: string;
  /** "2.15.2, /usr/bin/nats-server", or what gave it. */
  readonly about: string;
  /** The variable by which tests are told of it; undefined for a variant, which they start themselves. */
  readonly variable: string | undefined;
}

/** One change at a time of a label, so that two that start it get one. */
const alone = <T>(label: string, work: () => Promise<T>): Promise<T> =>
  withLock(join(stateFolder(), `kept-${label.replaceAll("/", "-")}.lock`), work);

/** Whatever stands before the host, which may be a token alone; of several hosts too much rather than too little. */
export const withoutSecrets = (url: string): string => url.replace(/^(\w+:\/\/)?.*@/, "$1***@");

/** Also one that was killed or paused. */
export async function startKept(wanted: Wanted, say: (line: string) => void): Promise<KeptUrl> {
  const variable = takesUrl(wanted) ? urlVariable(wanted) : undefined;
  const given = givenUrl(wanted);
  if (given !== undefined) {
    const { url } = given;
    return { url, shown: withoutSecrets(url), about: `given by ${given.variable}`, variable };
  }
  return alone(wanted.label, async () => {
    const known = keptInstance(wanted.label);
    const broker = known === undefined ? await startOwn(wanted, say) : adoptBroker(known);
    await broker.start();
    broker.keep();
    const { url } = broker;
    return { url, shown: url, about: `${broker.version}, ${broker.origin}`, variable };
  });
}

/** Several copies of this repository share the folder: another one may have brokers that this one has not. */
const isKnown = ({ kind, variant }: Instance): boolean =>
  Object.hasOwn(brokerKinds, kind) && brokerKinds[kind]?.variants.includes(variant) === true;

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
      if (isKnown(known)) await adoptBroker(known)[Symbol.asyncDispose]();
      else removeInstance(known);
      stopped.push(label);
    });
  }
  return stopped;
}

export const keptLabels = (): readonly string[] =>
  listInstances().flatMap(({ label, owner }) => (owner === null ? [label] : []));

/** Of all processes, a line each. */
export async function statusLines(): Promise<readonly string[]> {
  return Promise.all(
    listInstances().map(async (instance) => {
      if (!isKnown(instance)) return `${instance.label}  of another version of Omnibus, since ${instance.since}`;
      const broker = adoptBroker(instance);
      const whose = broker.ownerPid === undefined ? "kept" : `of process ${broker.ownerPid}`;
      const pids = broker.pids.length === 0 ? "" : `, pid ${broker.pids.join(" ")}`;
      const state = await broker.state();
      return `${broker.label}  ${broker.url}  ${state}${pids}, ${whose}, since ${broker.since}, ${broker.version}, ${broker.origin}`;
    }),
  );
}
