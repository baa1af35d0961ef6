import type { DeadLetters, GroupAdmin, Scheduled, StreamAdmin } from "./admin.ts";
import type { KeyValue } from "./key-value.ts";

/** Administration is loaded when it is first asked for: a service that only publishes and handles never does. */
export function lazyDeadLetters(load: () => Promise<DeadLetters>): DeadLetters {
  const admin = once(load);
  return {
    list: async (query) => (await admin()).list(query),
    get: async (id) => (await admin()).get(id),
    count: async (query) => (await admin()).count(query),
    replay: async (which, options) => (await admin()).replay(which, options),
    discard: async (which) => (await admin()).discard(which),
  };
}

export function lazyStreams(load: () => Promise<StreamAdmin>): StreamAdmin {
  const admin = once(load);
  return {
    ensure: async (stream, options) => (await admin()).ensure(stream, options),
    list: async () => (await admin()).list(),
    info: async (name) => (await admin()).info(name),
    positions: async (name) => (await admin()).positions(name),
    trim: async (name, before) => (await admin()).trim(name, before),
    delete: async (name) => (await admin()).delete(name),
  };
}

export function lazyGroups(load: () => Promise<GroupAdmin>): GroupAdmin {
  const admin = once(load);
  return {
    list: async (stream) => (await admin()).list(stream),
    info: async (group) => (await admin()).info(group),
    update: async (group, patterns) => (await admin()).update(group, patterns),
    reset: async (group, from) => (await admin()).reset(group, from),
    recover: async (group, options) => (await admin()).recover(group, options),
    delete: async (group) => (await admin()).delete(group),
  };
}

export function lazyScheduled(load: () => Promise<Scheduled>): Scheduled {
  const admin = once(load);
  return {
    list: async (query) => (await admin()).list(query),
    cancel: async (id) => (await admin()).cancel(id),
  };
}

export function lazyKeyValue<T>(load: () => Promise<KeyValue<T>>): KeyValue<T> {
  const kv = once(load);
  return {
    get: async (key) => (await kv()).get(key),
    put: async (key, value) => (await kv()).put(key, value),
    create: async (key, value) => (await kv()).create(key, value),
    update: async (key, value, revision) => (await kv()).update(key, value, revision),
    delete: async (key, revision) => (await kv()).delete(key, revision),
    async *keys(prefix) {
      yield* (await kv()).keys(prefix);
    },
    async *watch(prefix, options) {
      yield* (await kv()).watch(prefix, options);
    },
  };
}

/** Loads once, whoever asks and however often. */
function once<Value>(load: () => Promise<Value>): () => Promise<Value> {
  let loading: Promise<Value> | undefined;
  return () => (loading ??= load());
}
