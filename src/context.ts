import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import type { Scope } from "./bus.ts";

/** What a publish inherits from the event whose handler makes it. */
export interface Cause {
  readonly id: string;
  readonly correlationId: string;
}
export interface Ambient {
  readonly cause: Cause | undefined;
  readonly scope: Scope | undefined;
}

const storage = new AsyncLocalStorage<Ambient | undefined>();

export const ambient = (): Ambient | undefined => storage.getStore();

/** What it runs is in the context that this module was loaded in: in nobody's, unless somebody imports it within his own. */
const nobody = new AsyncResource("omnibus");

/** Everything that `work` publishes, however deep, is caused by this event, and by nothing else that is going on. */
export function causedBy<A, B, T>(cause: Cause, work: (a: A, b: B) => T, a: A, b: B): T {
  const within: Ambient = { cause, scope: undefined };
  return nobody.runInAsyncScope(leavesNothing ? entered<A, B, T> : stored<A, B, T>, undefined, within, work, a, b);
}

function entered<A, B, T>(within: Ambient, work: (a: A, b: B) => T, a: A, b: B): T {
  storage.enterWith(within);
  return work(a, b);
}

function stored<A, B, T>(within: Ambient, work: (a: A, b: B) => T, a: A, b: B): T {
  return storage.run(within, work, a, b);
}

/**
 * Whether a store that was entered goes with the resource's scope, as with the engine's own async context (Node 24). Then that
 * is a fifth of the cost of `storage.run`, which makes two contexts, one to come back. In Node 22 it would stay.
 */
const leavesNothing = ((): boolean => {
  const probe = new AsyncResource("omnibus");
  probe.runInAsyncScope(() => storage.enterWith({ cause: undefined, scope: undefined }));
  const nothing = probe.runInAsyncScope(() => storage.getStore()) === undefined;
  if (!nothing) storage.disable(); // until it is used: there it makes every promise of the process dearer
  return nothing;
})();

/** For what is started now and runs for everybody: it belongs to no caller. */
export function forNobody<T>(work: () => T): T {
  return nobody.runInAsyncScope(work);
}

/** An inner scope adds to the outer one and wins where both speak; metadata is merged by key. */
export function withScope<T>(scope: Scope, work: () => T): T {
  const outer = storage.getStore();
  const merged: Scope = {
    source: scope.source ?? outer?.scope?.source,
    session: scope.session ?? outer?.scope?.session,
    correlationId: scope.correlationId ?? outer?.scope?.correlationId,
    metadata: scope.metadata === undefined ? outer?.scope?.metadata : { ...outer?.scope?.metadata, ...scope.metadata },
  };
  return storage.run({ cause: outer?.cause, scope: merged }, work);
}
