import { AsyncLocalStorage } from "node:async_hooks";
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

/** Everything that `work` publishes, however deep, is caused by this event, and by nothing else that is going on. */
export function causedBy<T>(cause: Cause, work: () => T): T {
  return storage.run({ cause, scope: undefined }, work);
}

/** For what is started now and runs for everybody: it belongs to no caller. */
export function forNobody<T>(work: () => T): T {
  return storage.getStore() === undefined ? work() : storage.run(undefined, work);
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
